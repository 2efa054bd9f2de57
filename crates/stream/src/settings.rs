//! The settings of NATS.

use std::fmt;
use std::path::PathBuf;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use url::Url;

const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// The addresses of NATS and the login. Secrets are never printed.
#[derive(Clone)]
pub struct Settings {
    /// The addresses without logins: the client logs its addresses, and ignores the logins in them (nats.rs issue 1623).
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Option<Login>,
    /// The certificate of an authority to trust in addition to the system's.
    pub(crate) root_certificate: Option<PathBuf>,
}

/// The login, which is the same for all servers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    /// A user and a password, from `user:password@` in the URL.
    Password { user: String, password: String },
    /// A token, from `token@` in the URL.
    Token(String),
    /// A credentials file as created by `nsc`.
    CredentialsFile(PathBuf),
}

impl Settings {
    /// The environment variables that [`Settings::read`] reads.
    pub const VARIABLES: &[&str] = &["NATS_URL", "NATS_CREDENTIALS_FILE", "NATS_ROOT_CERT"];

    /// Reads the settings. `lookup` returns the value of a variable. `NATS_URL` may contain several URLs, separated by commas.
    ///
    /// # Errors
    /// A list of all problems, without secrets.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = Self {
            servers: Vec::new(),
            login: None,
            root_certificate: lookup("NATS_ROOT_CERT").map(PathBuf::from),
        };
        if let Some(file) = settings.root_certificate.as_ref().filter(|file| !file.is_file()) {
            problems.push(format!("NATS_ROOT_CERT={} is not a file", file.display()));
        }
        let urls = lookup("NATS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        for (index, text) in urls.split(',').enumerate() {
            let Some((server, login)) = read_url(text.trim()) else {
                // The value is not shown, because it may contain a password.
                problems.push("invalid NATS_URL: expected nats://HOST:PORT or tls://HOST:PORT".to_owned());
                break;
            };
            if index > 0 && login != settings.login {
                problems.push("NATS_URL contains different logins: all of its URLs must have the same".to_owned());
                break;
            }
            settings.servers.push(server);
            settings.login = login;
        }
        if let Some(file) = lookup("NATS_CREDENTIALS_FILE").map(PathBuf::from) {
            if !file.is_file() {
                problems.push(format!("NATS_CREDENTIALS_FILE={} is not a file", file.display()));
            }
            if settings.login.is_some() {
                problems
                    .push("NATS_URL contains a login and NATS_CREDENTIALS_FILE is set: remove one of them".to_owned());
            }
            settings.login = Some(Login::CredentialsFile(file));
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

/// Splits a URL into the server's address and the login.
fn read_url(text: &str) -> Option<(ServerAddr, Option<Login>)> {
    let mut url = if text.contains("://") {
        Url::parse(text).ok()?
    } else {
        Url::parse(&format!("nats://{text}")).ok()?
    };
    let known = matches!(url.scheme(), "nats" | "tls") && url.host_str().is_some_and(|host| !host.is_empty());
    if !known {
        return None;
    }
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(Login::Token(decoded(token)?)),
        (user, Some(password)) => Some(Login::Password {
            user: decoded(user)?,
            password: decoded(password)?,
        }),
    };
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((ServerAddr::from_url(url).ok()?, login))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, file: Option<&str>) -> Result<Settings, Vec<String>> {
        Settings::read(&|name| match name {
            "NATS_URL" => Some(url.to_owned()),
            "NATS_CREDENTIALS_FILE" => file.map(str::to_owned),
            _ => None,
        })
    }

    #[test]
    fn several_servers_are_read() {
        let settings = read("nats://one:4333, two , tls://three", None).unwrap();
        let hosts: Vec<_> = settings
            .servers
            .iter()
            .map(|server| (server.host(), server.port()))
            .collect();
        assert_eq!(hosts, [("one", 4333), ("two", 4222), ("three", 4222)]);
        assert!(Settings::read(&|_| None).is_ok());
    }

    #[test]
    fn problems_are_reported_without_secrets() {
        for (url, file) in [
            ("http://user:pa55@localhost", None),
            ("nats://user:pa55@", None),
            ("nats://user:pa55@one,nats://two", None),
            ("nats://user:pa55@one,", None),
            ("nats://user:pa55@one", Some("Cargo.toml")),
        ] {
            let problems = read(url, file).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains("NATS_URL"), "{problems:?}");
            assert!(!problems[0].contains("pa55"), "{problems:?}");
        }
        let problems = read("nowhere://", Some("/no/such/file")).unwrap_err();
        assert!(
            problems.len() == 2 && problems[1].contains("NATS_CREDENTIALS_FILE=/no/such/file"),
            "{problems:?}"
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", read("nats://user:pa55@localhost:4222", None).unwrap());
        assert!(printed.contains("localhost") && !printed.contains("pa55"), "{printed}");
    }
}
