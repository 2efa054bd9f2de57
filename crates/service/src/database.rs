//! The settings of PostgreSQL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ::settings::Reader;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, PgPool};

use crate::read_pool::{ReadPool, WarmUp};
use crate::session::Session;

/// What the URL of a database looks like, for messages.
const URL: &str = "postgresql://USER:PASSWORD@HOST:PORT/NAME";

/// The address of PostgreSQL and the login. Secrets are never printed.
#[derive(Clone)]
pub struct DatabaseSettings(PgConnectOptions);

impl DatabaseSettings {
    /// Reads the settings of the service's own database.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self::read_with("DB_", reader)
    }

    /// Reads the settings of Datacoves' own database. Returns `None` if none are set, so the directory does not come from there.
    pub fn read_datacoves(reader: &mut Reader<'_>) -> Option<Self> {
        reader.when_any_is_set(|reader| Self::read_with("DATACOVES_DB_", reader))
    }

    fn read_with(prefix: &str, reader: &mut Reader<'_>) -> Self {
        let tls = Tls::read(prefix, reader);
        let name = format!("{prefix}URL");
        let url = reader.text(&name);
        let parts = reader.when(url.is_none(), |reader| options_from_parts(prefix, reader));
        let options = match url {
            Some(url) => reader.valid(&name, URL, options_from_url(&url)),
            None => parts.flatten(),
        };
        Self(tls.apply(options.unwrap_or_else(PgConnectOptions::new_without_pgpass)))
    }

    /// The host, or the folder of the Unix socket.
    #[must_use]
    pub fn host(&self) -> String {
        match self.0.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => self.0.get_host().to_owned(),
        }
    }

    /// The TCP port, which does not count for a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.get_port()
    }

    /// The name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.get_username()
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        // PostgreSQL's default is the database with the user's name.
        self.0.get_database().unwrap_or_else(|| self.0.get_username())
    }

    /// Returns the options to connect as the user itself, with PostgreSQL's default search path.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.0.clone().application_name("dbt-api")
    }

    /// Creates a pool whose connections use this role and search path. It does not connect before it is used.
    #[must_use]
    pub fn pool(&self, role: &str, search_path: &str, connections: u32, statement_timeout: Duration) -> PgPool {
        let session = Session::of(role, search_path);
        let options = session.ask(self.options_of(statement_timeout));
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { session.check(connection).await })
            })
            .connect_lazy_with(options)
    }

    /// Opens a connection with this role and search path. A pool that cannot open one does not say why.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL refuses the connection, or gives it another role or search path.
    pub async fn connect(&self, role: &str, search_path: &str) -> sqlx::Result<PgConnection> {
        let session = Session::of(role, search_path);
        let mut connection = PgConnection::connect_with(&session.ask(self.options())).await?;
        session.check(&mut connection).await?;
        Ok(connection)
    }

    /// Opens a pool for read-only transactions with this role and search path, whose connections `warm_up` prepares. It does not wait for
    /// PostgreSQL.
    ///
    /// # Panics
    /// Panics outside of a Tokio runtime.
    #[must_use]
    pub fn read_pool(
        &self,
        role: &str,
        search_path: &str,
        connections: usize,
        statement_timeout: Duration,
        warm_up: WarmUp,
    ) -> ReadPool {
        let options = self.options_of(statement_timeout);
        let session = Session::of(role, search_path);
        ReadPool::open(options, session, connections, statement_timeout, warm_up)
    }

    fn options_of(&self, statement_timeout: Duration) -> PgConnectOptions {
        let timeout = format!("{}ms", statement_timeout.as_millis());
        // Shorter, so that waiting for a lock ends with another error than a statement that takes too long by itself.
        let lock_timeout = format!("{}ms", statement_timeout.as_millis() / 2);
        self.options().options([
            ("statement_timeout", timeout.as_str()),
            ("lock_timeout", lock_timeout.as_str()),
            // A batch waits for the bucket while it holds its locks, and an event's turn is held while its files are read.
            ("idle_in_transaction_session_timeout", "0"),
            // The locks of a machine that vanished must not be held for the hours that operating systems wait by default.
            ("tcp_keepalives_idle", "15"),
            ("tcp_keepalives_interval", "15"),
            ("tcp_keepalives_count", "3"),
            // Compiling a statement takes longer than the short statements here, whose arrays seem costly to the planner.
            ("jit", "off"),
        ])
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

fn options_from_url(url: &str) -> Option<PgConnectOptions> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    PgConnectOptions::from_str(url).ok().filter(|_| is_postgres)
}

fn options_from_parts(prefix: &str, reader: &mut Reader<'_>) -> Option<PgConnectOptions> {
    let advice = format!("set it, or {prefix}URL instead of all {prefix}… variables");
    let mut required = |name: &str| reader.required(&format!("{prefix}{name}"), &advice);
    let (host, user, password, name) = (required("HOST"), required("USER"), required("PASS"), required("NAME"));
    let port = reader.number(&format!("{prefix}PORT"), 1..=u16::MAX, 5432);
    let options = PgConnectOptions::new_without_pgpass()
        .host(&host?)
        .username(&user?)
        .password(&password?)
        .database(&name?);
    Some(options.port(port))
}

/// The TLS settings that are not in the URL.
struct Tls {
    mode: Option<PgSslMode>,
    root_certificate: Option<PathBuf>,
}

impl Tls {
    fn read(prefix: &str, reader: &mut Reader<'_>) -> Self {
        let enabled = reader.flag(&format!("{prefix}SSL_ENABLED"), false);
        let verify = reader.flag(&format!("{prefix}SSL_VERIFY"), false);
        let root_certificate = reader.file(&format!("{prefix}SSL_ROOT_CERT"));
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
        f.debug_struct("DatabaseSettings")
            .field("host", &self.host())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ::settings::{Invalid, Source};

    use super::*;

    #[test]
    fn certificates_are_verified_if_requested() {
        let mode = |name, value| {
            let source = Source::of(&[("DB_URL", "postgresql://u@db.example/name"), (name, value)]);
            let settings = source.read(DatabaseSettings::read);
            settings.map(|settings| format!("{:?}", settings.options().get_ssl_mode()))
        };
        assert_eq!(mode("DB_SSL_ENABLED", "true").unwrap(), "Require");
        assert_eq!(mode("DB_SSL_VERIFY", "true").unwrap(), "VerifyFull");
        assert_eq!(mode("DB_SSL_VERIFY", "false").unwrap(), "Prefer");
        let problem = |name, value| mode(name, value).unwrap_err().to_string();
        assert!(problem("DB_SSL_VERIFY", "maybe").contains("maybe"));
        assert!(problem("DB_SSL_ROOT_CERT", "/nowhere.pem").contains("/nowhere.pem"));
    }

    #[test]
    fn the_datacoves_database_has_its_own_settings() {
        let read = |names: &[&'static str]| {
            let url = "postgresql://u:pa55@datacoves.example/name";
            let variables: Vec<_> = names.iter().map(|name| (*name, url)).collect();
            Source::of(&variables).read(DatabaseSettings::read_datacoves)
        };
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&["DB_URL"]).unwrap().is_none());
        let settings = format!("{:?}", read(&["DATACOVES_DB_URL"]).unwrap().unwrap());
        assert!(
            settings.contains("datacoves.example") && !settings.contains("pa55"),
            "{settings}"
        );
        let invalid = read(&["DATACOVES_DB_HOST", "DATACOVES_DB_NAME"]).unwrap_err();
        let problems = invalid.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("missing `DATACOVES_DB_USER`"), "{problems:?}");
    }

    #[test]
    fn missing_settings_are_reported_without_secrets() {
        let read = |name, value| -> Result<_, Invalid> { Source::of(&[(name, value)]).read(DatabaseSettings::read) };
        let invalid = read("DB_PORT", "x").unwrap_err();
        for name in ["DB_HOST", "DB_USER", "DB_PASS", "DB_NAME", "DB_PORT"] {
            assert!(
                invalid.problems().iter().any(|problem| problem.contains(name)),
                "{name}"
            );
        }
        assert!(!read("DB_URL", "pa55://x").unwrap_err().to_string().contains("pa55"));
        let good = format!(
            "{:?}",
            read("DB_URL", "postgresql://user:pa55@db.example/name").unwrap()
        );
        assert!(good.contains("db.example") && !good.contains("pa55"), "{good}");
    }

    #[test]
    fn the_other_variables_do_not_count_if_there_is_a_url() {
        let url = ("DB_URL", "postgresql://user:pa55@db.example:5433/name");
        let settings = Source::of(&[url, ("DB_PORT", "x"), ("DB_HOST", "other")]).read(DatabaseSettings::read);
        let settings = settings.unwrap();
        assert_eq!(
            (settings.host(), settings.port(), settings.name()),
            ("db.example".to_owned(), 5433, "name")
        );
        let named_after_the_user = Source::of(&[("DB_URL", "postgresql:///?host=/run/postgresql&user=user")]);
        let settings = named_after_the_user.read(DatabaseSettings::read).unwrap();
        assert_eq!((settings.host().as_str(), settings.name()), ("/run/postgresql", "user"));
    }
}
