//! The settings that every process has.

use ::settings::Reader;
use tracing_subscriber::EnvFilter;
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
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let log_formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let settings = Self {
            host: reader.text("HOST").unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: reader.number("PORT", 0..=u16::MAX, 8080),
            public_url: reader.base_url("PUBLIC_URL"),
            log_format: reader.choice("LOG_FORMAT", &log_formats, LogFormat::Text),
            log_level: reader.text("LOG_LEVEL"),
        };
        if let Some(log_level) = &settings.log_level
            && let Err(error) = log_level.parse::<EnvFilter>()
        {
            reader.problem(format!(
                "invalid LOG_LEVEL: expected error, warn, info, debug or trace, got `{log_level}` ({error})"
            ));
        }
        settings
    }
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
}
