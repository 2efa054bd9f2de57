//! The settings for observing Airflow.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use schemas::{AccountId, InvalidSlug, Slug};
use secrecy::SecretString;
use url::Url;

const POLL_SECONDS: u64 = 30;
const LOOK_BACK_DAYS: u64 = 7;

/// Which Airflows are observed, and how often.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The environments with their Airflows. If empty, nothing is observed.
    pub environments: Vec<Environment>,
    /// The pause between two passes.
    pub interval: Duration,
    /// How far back runs are requested at start and once a day.
    pub look_back: TimeDelta,
}

/// An environment whose runs Airflow starts.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The account that the environment belongs to.
    pub account: AccountId,
    /// The slug of the environment.
    pub slug: Slug,
    /// The URL of Airflow, including a path, if any.
    pub url: Url,
    /// The login for Airflow.
    pub login: Login,
}

/// A login for Airflow. Secrets are never printed.
#[derive(Clone)]
pub enum Login {
    /// A user of Airflow.
    Password {
        /// The user's name.
        username: String,
        /// The user's password.
        password: SecretString,
    },
    /// A bearer token, of Airflow or of a proxy in front of it.
    Token(SecretString),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => f
                .debug_struct("Password")
                .field("username", username)
                .finish_non_exhaustive(),
            Self::Token(_) => f.debug_struct("Token").finish_non_exhaustive(),
        }
    }
}

impl Settings {
    /// The names of the settings.
    pub const VARIABLES: &[&str] = &["AIRFLOW_CONFIG", "AIRFLOW_POLL_SECONDS", "AIRFLOW_LOOK_BACK_DAYS"];

    /// Reads the settings, the file that `AIRFLOW_CONFIG` names, and the files named in it.
    ///
    /// # Errors
    /// A list of all problems, without secrets.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut number = |name: &str, default: u64, max: u64| match lookup(name) {
            None => default,
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=max).contains(number))
                .unwrap_or_else(|| {
                    problems.push(format!("{name}: `{text}` is not a whole number from 1 to {max}"));
                    default
                }),
        };
        let interval = Duration::from_secs(number("AIRFLOW_POLL_SECONDS", POLL_SECONDS, 3600));
        let days = number("AIRFLOW_LOOK_BACK_DAYS", LOOK_BACK_DAYS, 366);
        let mut settings = Self {
            environments: Vec::new(),
            interval,
            look_back: TimeDelta::days(i64::try_from(days).unwrap_or_default()),
        };
        if let Some(path) = lookup("AIRFLOW_CONFIG").map(PathBuf::from) {
            match read_file(&path) {
                Ok(environments) => settings.environments = environments,
                Err(found) => {
                    let with_path = |problem| format!("AIRFLOW_CONFIG: {}: {problem}", path.display());
                    problems.extend(found.into_iter().map(with_path));
                }
            }
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<Environment>, Vec<String>> {
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
            self.problem(&key, "unknown key");
        }
        Some(Environment {
            account: account?,
            slug: slug?,
            url: url?,
            login: login?,
        })
    }

    fn account(&mut self) -> Option<AccountId> {
        let number = match self.table.remove("account") {
            Some(toml::Value::Integer(number)) => Some(number),
            _ => None,
        };
        if number.is_none() {
            self.problem("account", "expected the number of an account");
        }
        number.map(AccountId)
    }

    fn slug(&mut self, text: &str) -> Option<Slug> {
        let slug = text.parse();
        slug.map_err(|error: InvalidSlug| self.problem("environment", &error.to_string()))
            .ok()
    }

    fn url(&mut self, text: &str) -> Option<Url> {
        let parse = |text: &str| {
            let url = Url::parse(text).ok()?;
            let plain = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
        };
        // The value is not shown, because it may contain a password.
        let url = parse(text);
        if url.is_none() {
            self.problem(
                "url",
                "expected http://HOST or https://HOST, with or without a path, and without a login",
            );
        }
        url
    }

    fn login(&mut self) -> Option<Login> {
        let username = self.text("username");
        let (password, token) = (self.secret("password"), self.secret("token"));
        match (username, password, token) {
            (Some(username), Some(password), None) => Some(Login::Password {
                username,
                password: password?,
            }),
            (None, None, Some(token)) => Some(Login::Token(token?)),
            _ => {
                self.problems.push(format!(
                    "[{}]: expected either username and password, or token",
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
            self.problem(key, "is missing");
        }
        text
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            toml::Value::String(text) if !text.is_empty() => Some(text),
            _ => {
                self.problem(key, "expected a string that is not empty");
                None
            }
        }
    }

    fn problem(&mut self, key: &str, rule: &str) {
        self.problems.push(format!("[{}]: {key}: {rule}", self.name));
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "pa55\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let file = folder.path().join("airflow.toml");
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        Settings::read(&|name| (name == "AIRFLOW_CONFIG").then(|| file.clone()))
    }

    #[test]
    fn nothing_is_observed_by_default() {
        let settings = Settings::read(&|_| None).unwrap();
        assert!(settings.environments.is_empty());
        assert_eq!(
            (settings.interval, settings.look_back),
            (Duration::from_secs(30), TimeDelta::days(7))
        );
    }

    #[test]
    fn a_table_is_an_environment_and_secrets_may_be_in_files() {
        let settings = read(
            "[production]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow.example/path'\nusername = 'viewer'\n
             password_file = 'password'\n[dev]\naccount = 2\nenvironment = 'dev'\nurl = 'http://airflow:8080/'\ntoken = 't0ken'",
        )
        .unwrap();
        let [dev, production] = settings.environments.as_slice() else {
            panic!("{settings:?}")
        };
        assert_eq!((dev.account, dev.slug.as_str()), (AccountId(2), "dev"));
        assert!(matches!(&dev.login, Login::Token(token) if token.expose_secret() == "t0ken"));
        assert_eq!(production.url.as_str(), "https://airflow.example/path");
        assert!(matches!(&production.login, Login::Password { username, password }
                if username == "viewer" && password.expose_secret() == "pa55"));
        let printed = format!("{settings:?}");
        assert!(!printed.contains("pa55") && !printed.contains("t0ken"), "{printed}");
    }

    #[test]
    fn all_problems_are_reported_at_once_without_secrets() {
        let problems = read(
            "loose = 1\n[a]\naccount = 'one'\nenvironment = 'No Slug'\nurl = 'https://user:pa55@airflow'\nusername = 'u'\n
             [b]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 'pa55'\ntoken_file = 'password'\npasswrod = 'pa55'\n
             [c]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken_file = 'nowhere'\n
             [d]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\nusername = 'u'\npassword_file = 'empty'\n
             [e]\naccount = 3\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 't'\n
             [f]\naccount = 3\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 't'",
        )
        .unwrap_err();
        let text = problems.join("\n");
        for part in [
            "`loose` is not in a table",
            "[a]: account: expected the number of an account",
            "[a]: environment: `No Slug` is not a slug",
            "[a]: url: expected http://HOST or https://HOST",
            "[a]: expected either username and password, or token",
            "[b]: token_file: `token` is set too",
            "[b]: passwrod: unknown key",
            "nowhere cannot be read",
            "empty is empty",
            "[f]: it has the same account and environment as [e]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("pa55"), "{text}");
        assert_eq!(problems.len(), 10, "{text}");
    }
}
