//! The file that `AIRFLOW_CONFIG` names.

use std::collections::BTreeMap;
use std::path::Path;

use ::settings::{BASE_URL, base_url};
use schemas::{AccountId, Slug};
use secrecy::SecretString;
use url::Url;

use super::{Environment, Login};

/// The keys of a login.
const LOGIN: [&str; 5] = ["username", "password", "password_file", "token", "token_file"];

/// Reads a file with one table for each environment, and the files named in it. The error is a list of all problems, without secrets.
pub(super) fn read(path: &Path) -> Result<Vec<Environment>, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("cannot be read: {error}")])?;
    // The parser's messages contain no values.
    let tables: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| vec![error.message().to_owned()])?;
    let (mut environments, mut problems) = (Vec::new(), Vec::new());
    let mut names: BTreeMap<(AccountId, Slug), String> = BTreeMap::new();
    for (name, value) in tables {
        let Some(table) = value.as_table() else {
            problems.push(format!(
                "`{name}` is not in a table: the settings of an environment must come after a line with [NAME]"
            ));
            continue;
        };
        let mut reader = TableReader {
            name: &name,
            table: table.clone(),
            folder: path.parent().unwrap_or(Path::new("")),
            problems: Vec::new(),
        };
        let environment = reader.environment();
        problems.append(&mut reader.problems);
        let Some(environment) = environment else { continue };
        let other = names.insert((environment.account, environment.slug.clone()), name.clone());
        if let Some(other) = other {
            problems.push(format!(
                "[{name}]: it has the same account and environment as [{other}]"
            ));
        }
        environments.push(environment);
    }
    if problems.is_empty() {
        Ok(environments)
    } else {
        Err(problems)
    }
}

/// Reads one table. The keys that are left at the end are unknown.
struct TableReader<'a> {
    name: &'a str,
    table: toml::Table,
    folder: &'a Path,
    problems: Vec<String>,
}

impl TableReader<'_> {
    fn environment(&mut self) -> Option<Environment> {
        let account = self.account();
        let slug = self.required("environment").and_then(|text| self.slug(&text));
        let url = self.required("url").and_then(|text| self.url(&text));
        let login = self.login();
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            self.problems.push(format!(
                "[{}]: unknown key `{key}`: expected account, environment, url, {}",
                self.name,
                LOGIN.join(", ")
            ));
        }
        Some(Environment {
            account: account?,
            slug: slug?,
            url: url?,
            login: login?,
        })
    }

    fn account(&mut self) -> Option<AccountId> {
        match self.table.remove("account") {
            Some(toml::Value::Integer(number)) => return Some(AccountId(number)),
            Some(toml::Value::String(text)) => {
                self.problem(
                    "account",
                    &format!("expected the number of an account, got the text `{text}`"),
                );
            }
            Some(other) => {
                let kind = other.type_str();
                self.problem(
                    "account",
                    &format!("expected the number of an account, got a value of the type {kind}"),
                );
            }
            None => self.missing("account"),
        }
        None
    }

    fn slug(&mut self, text: &str) -> Option<Slug> {
        let slug: Option<Slug> = text.parse().ok();
        if slug.is_none() {
            self.problem("environment", &format!("expected {}, got `{text}`", Slug::RULE));
        }
        slug
    }

    fn url(&mut self, text: &str) -> Option<Url> {
        let url = base_url(text);
        if url.is_none() {
            self.problem(
                "url",
                &format!("expected {BASE_URL}, got {}", settings::shown_url(text)),
            );
        }
        url
    }

    fn login(&mut self) -> Option<Login> {
        let given: Vec<&str> = LOGIN.into_iter().filter(|key| self.table.contains_key(*key)).collect();
        let username = self.text("username");
        let (password, token) = (self.secret("password"), self.secret("token"));
        match (username, password, token) {
            (Some(username), Some(password), None) => Some(Login::Password {
                username,
                password: password?,
            }),
            (None, None, Some(token)) => Some(Login::Token(token?)),
            _ => {
                let given = if given.is_empty() {
                    "neither".to_owned()
                } else {
                    given.join(", ")
                };
                self.problems.push(format!(
                    "[{}]: invalid login: expected either username and password, or token, got {given}",
                    self.name
                ));
                None
            }
        }
    }

    /// Returns the value of this key, or the content of the file named by this key with `_file` appended. Returns `None` if neither is set, and
    /// `Some(None)` if it is set but wrong.
    fn secret(&mut self, key: &str) -> Option<Option<SecretString>> {
        let (value, file_key) = (self.text(key), format!("{key}_file"));
        let Some(file) = self.text(&file_key) else {
            return value.map(|text| Some(text.into()));
        };
        if value.is_some() {
            self.problem(&file_key, &format!("`{key}` is set too: remove one of them"));
            return Some(None);
        }
        let path = self.folder.join(file);
        let secret = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Some(text.trim().into()),
            Ok(_) => {
                self.problem(&file_key, &format!("{} is empty", path.display()));
                None
            }
            Err(error) => {
                self.problem(&file_key, &format!("{} cannot be read: {error}", path.display()));
                None
            }
        };
        Some(secret)
    }

    fn required(&mut self, key: &str) -> Option<String> {
        let is_set = self.table.contains_key(key);
        let text = self.text(key);
        if !is_set {
            self.missing(key);
        }
        text
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            toml::Value::String(text) if !text.is_empty() => Some(text),
            other => {
                let kind = if other.is_str() {
                    "an empty string".to_owned()
                } else {
                    format!("a value of the type {}", other.type_str())
                };
                self.problem(key, &format!("expected a string that is not empty, got {kind}"));
                None
            }
        }
    }

    fn missing(&mut self, key: &str) {
        self.problems
            .push(format!("[{}]: missing `{key}`: this key is required", self.name));
    }

    fn problem(&mut self, key: &str, rule: &str) {
        self.problems.push(format!("[{}]: invalid `{key}`: {rule}", self.name));
    }
}
