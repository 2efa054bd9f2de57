//! The settings for observing Airflow.

mod file;

use std::fmt;
use std::time::Duration;

use ::settings::Reader;
use chrono::TimeDelta;
use schemas::{AccountId, Slug};
use secrecy::SecretString;
use url::Url;

const POLL_SECONDS: u64 = 30;
const LOOK_BACK_DAYS: i64 = 7;

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
    /// Reads the settings, the file that `AIRFLOW_CONFIG` names, and the files named in it.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let interval = Duration::from_secs(reader.number("AIRFLOW_POLL_SECONDS", 1..=3600, POLL_SECONDS));
        let look_back = TimeDelta::days(reader.number("AIRFLOW_LOOK_BACK_DAYS", 1..=366, LOOK_BACK_DAYS));
        let mut environments = Vec::new();
        if let Some(path) = reader.path("AIRFLOW_CONFIG") {
            match file::read(&path) {
                Ok(found) => environments = found,
                Err(problems) => {
                    for problem in problems {
                        reader.problem(format!("invalid `AIRFLOW_CONFIG`: {}: {problem}", path.display()));
                    }
                }
            }
        }
        Self {
            environments,
            interval,
            look_back,
        }
    }
}

#[cfg(test)]
mod tests {
    use ::settings::{Invalid, Source};
    use secrecy::ExposeSecret;

    use super::*;

    fn read(text: &str) -> Result<Settings, Invalid> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "pa55\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let file = folder.path().join("airflow.toml");
        std::fs::write(&file, text).unwrap();
        Source::of(&[("AIRFLOW_CONFIG", file.to_str().unwrap())]).read(Settings::read)
    }

    #[test]
    fn nothing_is_observed_by_default() {
        let settings = Source::default().read(Settings::read).unwrap();
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
        let invalid = read(
            "loose = 1\n[a]\naccount = 'one'\nenvironment = 'No Slug'\nurl = 'https://user:pa55@airflow'\nusername = 'u'\n
             [b]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 'pa55'\ntoken_file = 'password'\npasswrod = 'pa55'\n
             [c]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken_file = 'nowhere'\n
             [d]\naccount = 1\nenvironment = 'prod'\nurl = 'https://airflow'\nusername = 'u'\npassword_file = 'empty'\n
             [e]\naccount = 3\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 't'\n
             [f]\naccount = 3\nenvironment = 'prod'\nurl = 'https://airflow'\ntoken = 't'",
        )
        .unwrap_err();
        let text = invalid.to_string();
        for part in [
            "`loose` is not in a table",
            "[a]: invalid `account`: expected the number of an account, got the text `one`",
            "[a]: invalid `environment`: expected 1 to 63 lower-case letters",
            "[a]: invalid `url`: expected http://HOST or https://HOST",
            "got `https://…@airflow`",
            "[a]: invalid login: expected either username and password, or token, got username",
            "[b]: invalid `token_file`: `token` is set too",
            "[b]: unknown key `passwrod`: expected account, environment,",
            "nowhere cannot be read",
            "empty is empty",
            "[f]: it has the same account and environment as [e]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("pa55"), "{text}");
        assert_eq!(invalid.problems().len(), 10, "{text}");
    }
}
