//! Where the values of settings come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Invalid, Reader};

/// The variable that names the settings file. It is the only one that cannot be in the file.
pub(crate) const FILE_VARIABLE: &str = "DBT_API_CONFIG";

/// The settings file, unless `DBT_API_CONFIG` names another.
const DEFAULT_FILE: &str = "dbt-api.toml";

/// The values of settings. Environment variables override the values in a file. All values are strings as written, so that a password of
/// digits stays unchanged.
#[derive(Default)]
pub struct Source {
    /// The variables that are not empty, with trimmed values.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) file: Option<File>,
}

/// A settings file.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// By their keys in upper case.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// What is wrong with other entries, without any values.
    pub(crate) problems: Vec<String>,
}

/// A line of a settings file.
pub(crate) struct Entry {
    /// The key as written, for messages.
    pub(crate) key: String,
    value: String,
}

/// Why the settings file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("cannot read the settings file {path} in the folder {folder}: {error}; DBT_API_CONFIG can name another")]
    Open {
        /// The working directory, to which the path is relative.
        folder: PathBuf,
        /// The path that `DBT_API_CONFIG` names, or `dbt-api.toml`.
        path: PathBuf,
        /// The error of the operating system, or that the file is not UTF-8.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}: {problem}")]
    Content {
        /// The path, as in [`LoadError::Open`].
        path: PathBuf,
        /// The cause, without any values.
        problem: String,
    },
}

impl Source {
    /// Reads the environment and the settings file, if there is one.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or `DBT_API_CONFIG` names a file that does not exist.
    pub fn load() -> Result<Self, LoadError> {
        let environment = environment();
        let named = environment.get(FILE_VARIABLE).map(PathBuf::from);
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some(File::parse(path, &text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            Err(error) => {
                let folder = std::env::current_dir().unwrap_or_default();
                return Err(LoadError::Open { folder, path, error });
            }
        };
        Ok(Self { environment, file })
    }

    /// Returns the path of the settings file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Returns a source with these variables and nothing else, for tests.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            environment: present(variables),
            file: None,
        }
    }

    /// Reads settings with `read`.
    ///
    /// # Errors
    /// All problems.
    pub fn read<T>(&self, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, Invalid> {
        let mut reader = Reader::new(self);
        let settings = read(&mut reader);
        reader.finish(settings)
    }

    /// Returns the value of a setting. An empty value counts as missing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let in_file = || {
            let entry = self.file.as_ref()?.entries.get(name)?;
            Some(entry.value.as_str()).filter(|value| !value.is_empty())
        };
        self.environment.get(name).map(String::as_str).or_else(in_file)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> BTreeMap<String, String> {
    let unicode =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    present(unicode)
}

fn present(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables
        .map(|(name, value)| (name, value.trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

impl File {
    /// Reads a single level of keys, in upper or lower case, with scalar values.
    pub(crate) fn parse(path: PathBuf, text: &str) -> Result<Self, LoadError> {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                // Not the line itself, which may have a secret.
                let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
                let problem = match line {
                    Some(line) => format!("line {line}: {}", error.message()),
                    None => error.message().to_owned(),
                };
                return Err(LoadError::Content { path, problem });
            }
        };
        let mut file = Self {
            path,
            entries: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (key, value) in table {
            if let Err(problem) = file.add(key, value) {
                file.problems.push(format!("{}: {problem}", file.path.display()));
            }
        }
        Ok(file)
    }

    fn add(&mut self, key: String, value: toml::Value) -> Result<(), String> {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => {
                let kind = other.type_str();
                return Err(format!(
                    "invalid `{key}`: expected a string, a number or a boolean, got a value of the type {kind}"
                ));
            }
        };
        let (name, value) = (key.to_uppercase(), text.trim().to_owned());
        if name == FILE_VARIABLE {
            return Err(format!(
                "`{key}` must be an environment variable, because it names this file"
            ));
        }
        if let Some(other) = self.entries.get(&name) {
            let other = &other.key;
            return Err(format!(
                "`{other}` and `{key}` are the same setting: remove one of them"
            ));
        }
        self.entries.insert(name, Entry { key, value });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, environment: &[(&str, &str)]) -> Source {
        let file = File::parse("dbt-api.toml".into(), file).unwrap();
        Source {
            file: Some(file),
            ..Source::of(environment)
        }
    }

    #[test]
    fn values_in_a_file_are_kept_as_written() {
        let source = source(
            "db_pass = \"0123\"\nPORT = 8081\nDB_SSL_ENABLED = true\nempty = \"\"",
            &[],
        );
        assert_eq!(source.get("DB_PASS"), Some("0123"));
        assert_eq!(source.get("PORT"), Some("8081"));
        assert_eq!(source.get("DB_SSL_ENABLED"), Some("true"));
        assert_eq!(source.get("EMPTY"), None);
    }

    #[test]
    fn variables_that_are_not_empty_override_the_file() {
        let source = source("HOST = 'file'\nPORT = 1", &[("HOST", " variable "), ("PORT", " ")]);
        assert_eq!((source.get("HOST"), source.get("PORT")), (Some("variable"), Some("1")));
    }

    #[test]
    fn a_file_with_other_content_is_refused_without_its_values() {
        for (text, part) in [
            ("a = ['pa55']", "`a`"),
            ("[db]\npass = 'pa55'", "`db`"),
            ("PORT = 1\nport = 2", "`PORT` and `port`"),
            ("dbt_api_config = 'pa55'", "`dbt_api_config` must be"),
        ] {
            let source = source(text, &[]);
            let error = source
                .read(|reader| reader.required("HOST", "it is needed"))
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("dbt-api.toml: ") && error.contains(part), "{error}");
            assert!(error.contains("missing `HOST`"), "all problems are reported: {error}");
            assert!(!error.contains("pa55"), "{error}");
        }
        let error = File::parse("dbt-api.toml".into(), "a = 1\npa55 = ")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("dbt-api.toml: line 2: ") && !error.contains("pa55"),
            "{error}"
        );
    }
}
