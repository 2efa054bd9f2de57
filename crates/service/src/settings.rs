//! Looks up settings, and reads those that every process has.

use std::collections::HashMap;
use std::path::PathBuf;

use url::Url;

/// The settings file, unless `DBT_API_CONFIG` names another.
const DEFAULT_FILE: &str = "dbt-api.toml";

/// Looks up settings. Environment variables override the values in a file. All values are strings as written, so that a password of digits
/// stays unchanged.
#[derive(Default)]
pub struct Lookup {
    file: HashMap<String, String>,
}

/// Why the settings file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The file cannot be opened.
    #[error("{path}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// The file is not TOML, or has values of the wrong type.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// The place and the cause, without any values.
        problem: String,
    },
}

impl Lookup {
    /// The environment variables that the lookup itself reads.
    pub const VARIABLES: &[&str] = &["DBT_API_CONFIG"];

    /// Reads the settings file, if there is one.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or `DBT_API_CONFIG` names a file that does not exist.
    pub fn load() -> Result<Self, LookupError> {
        let named = from_environment("DBT_API_CONFIG").map(PathBuf::from);
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(Self::default()),
            Err(error) => return Err(LookupError::Open { path, error }),
        };
        let file = read_toml(&text).map_err(|problem| LookupError::Content { path, problem })?;
        Ok(Self { file })
    }

    /// Returns the value of a setting. An empty value counts as missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        from_environment(name).or_else(|| self.file.get(name).cloned())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn from_environment(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// Reads a single level of keys, in upper or lower case, with scalar values.
fn read_toml(text: &str) -> Result<HashMap<String, String>, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut values = HashMap::new();
    for (key, value) in table {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => return Err(format!("invalid `{key}`: expected a string, a number or a boolean")),
        };
        if !text.trim().is_empty() {
            values.insert(key.to_uppercase(), text.trim().to_owned());
        }
    }
    Ok(values)
}

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
    /// The format of the log.
    pub log_format: LogFormat,
    /// The log level, in the syntax of `tracing`'s `EnvFilter`. If `None`, `info` for services and `warn` for commands.
    pub log_level: Option<String>,
}

impl ServiceSettings {
    /// The environment variables that [`ServiceSettings::read`] reads.
    pub const VARIABLES: &[&str] = &["HOST", "PORT", "PUBLIC_URL", "LOG_FORMAT", "LOG_LEVEL"];

    /// Reads the settings. `lookup` returns the value of a variable.
    ///
    /// # Errors
    /// A list of all problems.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let port = lookup("PORT").unwrap_or_else(|| "8080".to_owned());
        let port = port.parse().unwrap_or_else(|_| {
            problems.push(format!("invalid PORT: expected a number from 0 to 65535, got `{port}`"));
            0
        });
        let public_url = lookup("PUBLIC_URL").and_then(|text| match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            _ => {
                problems.push(format!(
                    "invalid PUBLIC_URL: expected http://HOST or https://HOST, got `{text}`"
                ));
                None
            }
        });
        let log_format = match lookup("LOG_FORMAT").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                problems.push(format!("invalid LOG_FORMAT: expected text or json, got `{other}`"));
                LogFormat::Text
            }
        };
        let log_level = lookup("LOG_LEVEL");
        if let Some(log_level) = &log_level
            && let Err(error) = log_level.parse::<tracing_subscriber::EnvFilter>()
        {
            problems.push(format!(
                "invalid LOG_LEVEL: expected error, warn, info, debug or trace, got `{log_level}` ({error})"
            ));
        }
        if problems.is_empty() {
            let host = lookup("HOST").unwrap_or_else(|| "0.0.0.0".to_owned());
            Ok(Self {
                host,
                port,
                public_url,
                log_format,
                log_level,
            })
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_a_file_are_kept_as_written() {
        let values = read_toml("db_pass = \"0123\"\nPORT = 8081\nDB_SSL_ENABLED = true\nempty = \"\"").unwrap();
        assert_eq!(values["DB_PASS"], "0123");
        assert_eq!(values["PORT"], "8081");
        assert_eq!(values["DB_SSL_ENABLED"], "true");
        assert!(!values.contains_key("EMPTY"));
        assert!(read_toml("a = [1]").unwrap_err().contains("`a`"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = ServiceSettings::read(&|name| match name {
            "PORT" => Some("x".to_owned()),
            "LOG_FORMAT" => Some("xml".to_owned()),
            "PUBLIC_URL" => Some("nowhere".to_owned()),
            _ => None,
        });
        assert_eq!(problems.unwrap_err().len(), 3);
    }
}
