//! The settings of NATS.

use std::fmt;
use std::path::PathBuf;

use ::settings::Reader;
use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use url::Url;

const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// NATS keeps a stream on at most this many servers.
const MAX_REPLICAS: usize = 5;

/// The addresses of NATS and the login. Secrets are never printed.
#[derive(Clone)]
pub struct Settings {
    /// The addresses without logins: the client logs its addresses, and ignores the logins in them (nats.rs issue 1623).
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Option<Login>,
    /// The certificate of an authority to trust in addition to the system's.
    pub(crate) root_certificate: Option<PathBuf>,
    /// How many servers should have the stream, or `None` to leave that as it is.
    pub(crate) replicas: Option<usize>,
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
    /// Reads the settings. `NATS_URL` may contain several URLs, separated by commas.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let root_certificate = reader.file("NATS_ROOT_CERT");
        let urls = reader.text("NATS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        let (servers, mut login) = read_urls(reader, &urls);
        if let Some(file) = reader.file("NATS_CREDENTIALS_FILE") {
            if login.is_some() {
                reader.problem(
                    "NATS_URL contains a login and NATS_CREDENTIALS_FILE is set: remove one of them".to_owned(),
                );
            }
            login = Some(Login::CredentialsFile(file));
        }
        let replicas = reader.number("NATS_REPLICAS", 1..=MAX_REPLICAS, 0);
        Self {
            servers,
            login,
            root_certificate,
            replicas: (replicas > 0).then_some(replicas),
        }
    }

    /// Returns the URLs of all servers without logins, separated by commas.
    #[must_use]
    pub fn urls(&self) -> String {
        let urls: Vec<&str> = self.servers.iter().map(ServerAddr::as_url_str).collect();
        urls.join(",")
    }
}

/// What [`read_url`] expects, for messages.
const NATS_URL: &str = "nats://HOST:PORT, tls://HOST:PORT or HOST:PORT, without a path";

/// Reads the servers' addresses and their login, up to the first that is invalid.
fn read_urls(reader: &mut Reader<'_>, urls: &str) -> (Vec<ServerAddr>, Option<Login>) {
    let (mut servers, mut common) = (Vec::new(), None);
    for text in urls.split(',') {
        let text = text.trim();
        // If there is a login, the comma may be part of the password, and so may be all of the text before it.
        let shown = if urls.contains('@') { urls } else { text };
        let read = reader.valid_url("NATS_URL", NATS_URL, shown, read_url(text));
        let Some((server, login)) = read else { break };
        if !servers.is_empty() && login != common {
            reader.problem(
                "invalid `NATS_URL`: expected the same login in all of its URLs, got different ones".to_owned(),
            );
            break;
        }
        servers.push(server);
        common = login;
    }
    (servers, common)
}

/// Splits a URL into the server's address and the login.
fn read_url(text: &str) -> Option<(ServerAddr, Option<Login>)> {
    let mut url = if text.contains("://") {
        Url::parse(text).ok()?
    } else {
        Url::parse(&format!("nats://{text}")).ok()?
    };
    let known = matches!(url.scheme(), "nats" | "tls") && url.host_str().is_some_and(is_host);
    if !known || !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
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

/// Whether a text can be the host of a URL: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
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
    use ::settings::{Invalid, Source};

    use super::*;

    fn read(url: &str, file: Option<&str>) -> Result<Settings, Invalid> {
        let variables = [("NATS_URL", url), ("NATS_CREDENTIALS_FILE", file.unwrap_or_default())];
        Source::of(&variables).read(Settings::read)
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
        assert_eq!(read("", None).unwrap().urls(), "nats://127.0.0.1:4222");
    }

    #[test]
    fn problems_are_reported_without_secrets() {
        for (url, file) in [
            ("http://user:pa55@localhost", None),
            ("nats://user:pa55@", None),
            ("nats://user:pa55@one,nats://two", None),
            ("nats://user:pa55@one,", None),
            ("user:pa,55word@one", None),
            ("user:pa55,word@one", None),
            ("nats://one/pa55", None),
            ("nats://one?pa55", None),
            ("nats://user:pa55@one", Some("Cargo.toml")),
        ] {
            let invalid = read(url, file).unwrap_err();
            let problems = invalid.problems();
            assert!(problems.len() == 1 && problems[0].contains("NATS_URL"), "{problems:?}");
            assert!(
                !problems[0].contains("pa55") && !problems[0].contains("`user:pa`"),
                "{problems:?}"
            );
        }
        let invalid = read("nowhere://", Some("/no/such/file")).unwrap_err();
        let problems = invalid.problems();
        assert!(
            problems.len() == 2 && problems[1].starts_with("invalid `NATS_CREDENTIALS_FILE`: expected a file"),
            "{problems:?}"
        );
    }

    #[test]
    fn the_server_that_is_invalid_is_shown() {
        for (url, shown) in [
            ("nats://one,http://two:8080", "got `http://two:8080`"),
            ("one,two:three", "got a text that is not shown"),
            ("on$e", "got a text that is not shown"),
        ] {
            let invalid = read(url, None).unwrap_err().to_string();
            assert!(
                invalid.contains("invalid `NATS_URL`: expected nats://HOST:PORT") && invalid.contains(shown),
                "{invalid}"
            );
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read("nats://user:pa55@localhost:4222,user:pa55@other", None).unwrap();
        assert_eq!(settings.urls(), "nats://localhost:4222,nats://other");
        let printed = format!("{settings:?}");
        assert!(printed.contains("localhost") && !printed.contains("pa55"), "{printed}");
    }
}
