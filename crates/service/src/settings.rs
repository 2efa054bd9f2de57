//! Where settings come from, and those of every process.

use std::collections::HashMap;
use std::path::PathBuf;

use url::Url;

/// The file that is read where `DBT_API_CONFIG` names no other.
const DEFAULT_FILE: &str = "dbt-api.toml";

/// The values of settings: those of the environment, over those of a file. All are texts, as they were written: a password that is all
/// digits stays one.
#[derive(Default)]
pub struct Lookup {
    file: HashMap<String, String>,
}

/// The file of settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It cannot be opened.
    #[error("{path}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no TOML, or not as it should be.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why, without any value.
        problem: String,
    },
}

impl Lookup {
    /// The environment variables of the lookup itself.
    pub const VARIABLES: &[&str] = &["DBT_API_CONFIG"];

    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or was named and is not there.
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

    /// The value of a setting; an empty one counts as absent.
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

/// One level of keys, in either case, each with a scalar.
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
            _ => return Err(format!("`{key}` has to be a text, a number or a truth value")),
        };
        if !text.trim().is_empty() {
            values.insert(key.to_uppercase(), text.trim().to_owned());
        }
    }
    Ok(values)
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What every process needs to know.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Where to listen.
    pub host: String,
    /// 0: any that is free.
    pub port: u16,
    /// The address under which clients reach the service, without a slash at its end.
    pub public_url: Option<Url>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged, as `tracing`'s `EnvFilter` reads it; none: `info` for services, `warn` for commands.
    pub log_level: Option<String>,
}

impl ServiceSettings {
    /// The environment variables that [`ServiceSettings::read`] reads.
    pub const VARIABLES: &[&str] = &["HOST", "PORT", "PUBLIC_URL", "LOG_FORMAT", "LOG_LEVEL"];

    /// Reads the settings; `lookup` gives the value of a variable.
    ///
    /// # Errors
    /// All problems at once.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let port = lookup("PORT").unwrap_or_else(|| "8080".to_owned());
        let port = port.parse().unwrap_or_else(|_| {
            problems.push(format!("PORT={port} is no port: a number from 0 to 65535 is due"));
            0
        });
        let public_url = lookup("PUBLIC_URL").and_then(|text| match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            _ => {
                problems.push(format!(
                    "PUBLIC_URL={text} is no URL: http://HOST or https://HOST is due"
                ));
                None
            }
        });
        let log_format = match lookup("LOG_FORMAT").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                problems.push(format!("LOG_FORMAT={other} is not known: text or json is due"));
                LogFormat::Text
            }
        };
        let log_level = lookup("LOG_LEVEL");
        if let Some(log_level) = &log_level
            && let Err(error) = log_level.parse::<tracing_subscriber::EnvFilter>()
        {
            problems.push(format!(
                "LOG_LEVEL={log_level} is not known ({error}): error, warn, info, debug or trace is due"
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
    fn a_file_gives_texts_as_they_are_written() {
        let values = read_toml("db_pass = \"0123\"\nPORT = 8081\nDB_SSL_ENABLED = true\nempty = \"\"").unwrap();
        assert_eq!(values["DB_PASS"], "0123");
        assert_eq!(values["PORT"], "8081");
        assert_eq!(values["DB_SSL_ENABLED"], "true");
        assert!(!values.contains_key("EMPTY"));
        assert!(read_toml("a = [1]").unwrap_err().contains("`a`"));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = ServiceSettings::read(&|name| match name {
            "PORT" => Some("x".to_owned()),
            "LOG_FORMAT" => Some("xml".to_owned()),
            "PUBLIC_URL" => Some("nowhere".to_owned()),
            _ => None,
        });
        assert_eq!(problems.unwrap_err().len(), 3);
    }
}
