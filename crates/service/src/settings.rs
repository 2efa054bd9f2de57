//! The settings that every process has.

use ::settings::Reader;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines of text for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// The settings that every process has.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The address to listen on.
    pub host: String,
    /// The port to listen on, or 0 for any free one.
    pub port: u16,
    /// The URL at which clients reach the service, without a trailing slash.
    pub public_url: Option<Url>,
    /// Text unless `LOG_FORMAT` says otherwise.
    pub log_format: LogFormat,
    /// The log level, in the syntax of `tracing`'s `EnvFilter`. If `None`, `info` for services and `warn` for commands.
    pub log_level: Option<String>,
}

impl ServiceSettings {
    /// Reads the settings, and records all problems in `reader`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let log_formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let settings = Self {
            host: reader.text("HOST").unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: reader.number("PORT", 0..=u16::MAX, 8080),
            public_url: reader.base_url("PUBLIC_URL"),
            log_format: reader.choice("LOG_FORMAT", &log_formats, LogFormat::Text),
            log_level: reader.text("LOG_LEVEL"),
        };
        if settings.log_level.as_deref().is_some_and(|level| !is_log_level(level)) {
            reader.invalid(
                "LOG_LEVEL",
                "error, warn, info, debug, trace or off, or a list such as `info,sqlx=warn`",
            );
        }
        settings
    }
}

/// Whether a text is a level, or a list of levels and of targets with levels. `EnvFilter` takes an unknown word for a target, and then logs
/// nothing else.
fn is_log_level(text: &str) -> bool {
    let is_word = |item: &&str| !item.contains(['=', '[']);
    let mut words = text.split(',').filter(is_word);
    words.all(|word| word.parse::<LevelFilter>().is_ok()) && text.parse::<EnvFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use ::settings::Source;

    use super::*;

    #[test]
    fn all_problems_are_reported_at_once() {
        let source = Source::of(&[
            ("PORT", "x"),
            ("LOG_FORMAT", "xml"),
            ("LOG_LEVEL", "a=b=c"),
            ("PUBLIC_URL", "nowhere"),
        ]);
        let invalid = source.read(ServiceSettings::read).unwrap_err();
        assert_eq!(invalid.problems().len(), 4, "{invalid}");
        assert!(invalid.problems()[3].contains("got `a=b=c`"), "{invalid}");
    }

    #[test]
    fn a_word_that_is_not_a_level_is_refused() {
        let read = |level| Source::of(&[("LOG_LEVEL", level)]).read(ServiceSettings::read);
        for good in ["info", "DEBUG", "off", "info,sqlx=error", "warn,[span]=debug"] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in ["zz", "inof", "info,zz", "a=b=c"] {
            let invalid = read(bad).unwrap_err().to_string();
            assert!(
                invalid.contains("invalid `LOG_LEVEL`: expected error, warn"),
                "{invalid}"
            );
            assert!(invalid.contains(&format!("got `{bad}`")), "{invalid}");
        }
    }
}
