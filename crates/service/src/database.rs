//! The settings of PostgreSQL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

/// The address of PostgreSQL and the login. Secrets are never printed.
#[derive(Clone)]
pub struct DatabaseSettings(PgConnectOptions);

impl DatabaseSettings {
    /// The environment variables for the service's own database and for Datacoves' database.
    pub const VARIABLES: &[&str] = &[
        "DB_URL",
        "DB_HOST",
        "DB_PORT",
        "DB_USER",
        "DB_PASS",
        "DB_NAME",
        "DB_SSL_ENABLED",
        "DB_SSL_VERIFY",
        "DB_SSL_ROOT_CERT",
        "DATACOVES_DB_URL",
        "DATACOVES_DB_HOST",
        "DATACOVES_DB_PORT",
        "DATACOVES_DB_USER",
        "DATACOVES_DB_PASS",
        "DATACOVES_DB_NAME",
        "DATACOVES_DB_SSL_ENABLED",
        "DATACOVES_DB_SSL_VERIFY",
        "DATACOVES_DB_SSL_ROOT_CERT",
    ];

    /// Reads the settings of the service's own database. `lookup` returns the value of a variable.
    ///
    /// # Errors
    /// A list of all problems.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        Self::read_with("DB_", lookup)
    }

    /// Reads the settings of Datacoves' own database. Returns `None` if none are set, so the directory does not come from there.
    ///
    /// # Errors
    /// A list of all problems.
    pub fn read_datacoves(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<String>> {
        let of_datacoves = Self::VARIABLES.iter().filter(|name| name.starts_with("DATACOVES_"));
        if of_datacoves.into_iter().all(|name| lookup(name).is_none()) {
            return Ok(None);
        }
        Self::read_with("DATACOVES_DB_", lookup).map(Some)
    }

    fn read_with(prefix: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let named = |name: &str| format!("{prefix}{name}");
        let tls = Tls::read(&named, lookup, &mut problems);
        if let Some(url) = lookup(&named("URL")) {
            // The value is never shown, because it may contain a password.
            let options = PgConnectOptions::from_str(&url)
                .ok()
                .filter(|_| url.starts_with("postgres://") || url.starts_with("postgresql://"));
            return match options {
                Some(options) if problems.is_empty() => Ok(Self(tls.apply(options))),
                Some(_) => Err(problems),
                None => {
                    problems.push(format!(
                        "invalid {prefix}URL: expected postgresql://USER:PASSWORD@HOST:PORT/NAME"
                    ));
                    Err(problems)
                }
            };
        }
        let mut required = |name: &str| {
            lookup(&named(name)).unwrap_or_else(|| {
                problems.push(format!(
                    "{prefix}{name} is not set: set it, or {prefix}URL instead of all {prefix}… variables"
                ));
                String::new()
            })
        };
        let options = PgConnectOptions::new_without_pgpass()
            .host(&required("HOST"))
            .username(&required("USER"))
            .password(&required("PASS"))
            .database(&required("NAME"));
        let port = lookup(&named("PORT")).unwrap_or_else(|| "5432".to_owned());
        let port = port.parse().unwrap_or_else(|_| {
            problems.push(format!(
                "invalid {prefix}PORT: expected a number from 1 to 65535, got `{port}`"
            ));
            0
        });
        if problems.is_empty() {
            Ok(Self(tls.apply(options.port(port))))
        } else {
            Err(problems)
        }
    }

    /// Returns the options to connect as the user itself, with PostgreSQL's default search path.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.0.clone().application_name("dbt-api")
    }

    /// Creates a pool whose connections use this role and search path. It does not connect before it is used.
    #[must_use]
    pub fn pool(&self, role: &str, search_path: &str, connections: u32, statement_timeout: Duration) -> PgPool {
        let timeout = format!("{}ms", statement_timeout.as_millis());
        // Shorter, so that waiting for a lock ends with another error than a statement that takes too long by itself.
        let lock_timeout = format!("{}ms", statement_timeout.as_millis() / 2);
        let settings = [
            ("role", role),
            ("search_path", search_path),
            ("statement_timeout", &timeout),
            ("lock_timeout", &lock_timeout),
        ];
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(self.options().options(settings))
    }

    /// Creates a pool with a single connection to another product's database. It does not connect before it is used.
    #[must_use]
    pub fn foreign_pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(3))
            .connect_lazy_with(self.options())
    }
}

/// The TLS settings that are not in the URL.
struct Tls {
    mode: Option<PgSslMode>,
    root_certificate: Option<PathBuf>,
}

impl Tls {
    fn read(
        named: &dyn Fn(&str) -> String,
        lookup: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut truth = |name: &str| match lookup(name).map(|value| value.to_lowercase()).as_deref() {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(other) => {
                problems.push(format!("invalid {name}: expected true or false, got `{other}`"));
                false
            }
        };
        let (enabled, verify) = (truth(&named("SSL_ENABLED")), truth(&named("SSL_VERIFY")));
        let root_certificate = lookup(&named("SSL_ROOT_CERT")).map(PathBuf::from);
        if let Some(file) = root_certificate.as_ref().filter(|file| !file.is_file()) {
            problems.push(format!("{}={} is not a file", named("SSL_ROOT_CERT"), file.display()));
        }
        let mode = match (verify || root_certificate.is_some(), enabled) {
            (true, _) => Some(PgSslMode::VerifyFull),
            (false, true) => Some(PgSslMode::Require),
            // Use the mode in the URL, or else TLS if the server offers it.
            (false, false) => None,
        };
        Self { mode, root_certificate }
    }

    fn apply(&self, mut options: PgConnectOptions) -> PgConnectOptions {
        if let Some(mode) = self.mode {
            options = options.ssl_mode(mode);
        }
        match &self.root_certificate {
            Some(file) => options.ssl_root_cert(file),
            None => options,
        }
    }
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, name) = (self.0.get_host(), self.0.get_database());
        f.debug_struct("DatabaseSettings")
            .field("host", &host)
            .field("name", &name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_verified_if_requested() {
        let mode = |name: &'static str, value: &'static str| {
            let lookup = move |asked: &str| match asked {
                "DB_URL" => Some("postgresql://u@db.example/name".to_owned()),
                asked => (asked == name).then(|| value.to_owned()),
            };
            DatabaseSettings::read(&lookup).map(|settings| format!("{:?}", settings.options().get_ssl_mode()))
        };
        assert_eq!(mode("DB_SSL_ENABLED", "true").unwrap(), "Require");
        assert_eq!(mode("DB_SSL_VERIFY", "true").unwrap(), "VerifyFull");
        assert_eq!(mode("DB_SSL_VERIFY", "false").unwrap(), "Prefer");
        assert!(mode("DB_SSL_VERIFY", "maybe").unwrap_err()[0].contains("maybe"));
        assert!(mode("DB_SSL_ROOT_CERT", "/nowhere.pem").unwrap_err()[0].contains("/nowhere.pem"));
    }

    #[test]
    fn the_datacoves_database_has_its_own_settings() {
        let read = |names: &'static [&'static str]| {
            DatabaseSettings::read_datacoves(&move |name| {
                names
                    .contains(&name)
                    .then(|| "postgresql://u:pa55@datacoves.example/name".to_owned())
            })
        };
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&["DB_URL"]).unwrap().is_none());
        let settings = format!("{:?}", read(&["DATACOVES_DB_URL"]).unwrap().unwrap());
        assert!(
            settings.contains("datacoves.example") && !settings.contains("pa55"),
            "{settings}"
        );
        let problems = read(&["DATACOVES_DB_HOST", "DATACOVES_DB_NAME"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("DATACOVES_DB_USER is not set"), "{problems:?}");
    }

    #[test]
    fn missing_settings_are_reported_without_secrets() {
        let problems = DatabaseSettings::read(&|name| (name == "DB_PORT").then(|| "x".to_owned())).unwrap_err();
        for name in ["DB_HOST", "DB_USER", "DB_PASS", "DB_NAME", "DB_PORT"] {
            assert!(problems.iter().any(|problem| problem.contains(name)), "{name}");
        }
        let read = |url: &'static str| DatabaseSettings::read(&move |name| (name == "DB_URL").then(|| url.to_owned()));
        assert!(!read("pa55://x").unwrap_err().join("").contains("pa55"));
        let good = format!("{:?}", read("postgresql://user:pa55@db.example/name").unwrap());
        assert!(good.contains("db.example") && !good.contains("pa55"), "{good}");
    }
}
