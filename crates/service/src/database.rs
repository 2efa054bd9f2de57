//! The settings of PostgreSQL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ::settings::Reader;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, PgPool};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hosts::{Hosts, Wanted};
use crate::read_pool::{ReadPool, WarmUp};
use crate::session::{self, Session};

/// What the URL of a database looks like, for messages.
const URL: &str = "postgresql://USER:PASSWORD@HOST:PORT/NAME, or several HOST:PORT with commas between them; `target_session_attrs` may be";

/// How long a connection outside of pools may take to be opened.
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// The addresses of PostgreSQL and the login. Secrets are never printed.
#[derive(Clone)]
pub struct DatabaseSettings(Hosts);

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
        let hosts = match url {
            Some(url) => hosts_of(reader, &name, &url, Wanted::Writes),
            None => parts.flatten().map(Hosts::one),
        };
        Self::of(
            hosts.unwrap_or_else(|| Hosts::one(PgConnectOptions::new_without_pgpass())),
            &tls,
        )
    }

    /// Reads the address at which the role `api` reads: standbys, or a pooler. Returns `None` if it is not set. The settings of TLS are those of
    /// the service's own database.
    pub fn read_for_reads(reader: &mut Reader<'_>) -> Option<Self> {
        let name = "DB_READ_URL";
        let url = reader.text(name)?;
        let hosts = hosts_of(reader, name, &url, Wanted::Reads)?;
        Some(Self::of(hosts, &Tls::read("DB_", reader)))
    }

    fn of(hosts: Hosts, tls: &Tls) -> Self {
        Self(hosts.map(|server| tls.apply(server.application_name("dbt-api"))))
    }

    /// Chooses the server that accepts writes, if there are several.
    pub async fn choose_server(&self) {
        self.0.choose().await;
    }

    /// Keeps the server chosen that accepts writes, or for reads one that answers, until the shutdown.
    pub async fn follow(self, shutdown: CancellationToken) {
        self.0.follow(shutdown).await;
    }

    /// The number of the server that is used, among several.
    pub(crate) fn server(&self) -> usize {
        self.0.chosen().index
    }

    /// The host, or the folder of the Unix socket. Several hosts are shown with their ports, and commas between them.
    #[must_use]
    pub fn host(&self) -> String {
        self.0.shown()
    }

    /// The TCP port of the server that is used, which does not count for a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.options().get_port()
    }

    /// The name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.options().get_username()
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        // PostgreSQL's default is the database with the user's name.
        self.0.options().get_database().unwrap_or_else(|| self.user())
    }

    /// Returns the options to connect as the user itself, with PostgreSQL's default search path.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.0.options().clone()
    }

    /// Creates a pool whose connections use this role and search path. It does not connect before it is used.
    #[must_use]
    pub fn pool(&self, role: &str, search_path: &str, connections: u32, statement_timeout: Duration) -> PgPool {
        self.watched_pool(role, search_path, connections, statement_timeout, || {})
    }

    /// The same pool, which calls `opened` after each connection that it opens.
    #[must_use]
    pub fn watched_pool(
        &self,
        role: &str,
        search_path: &str,
        connections: u32,
        statement_timeout: Duration,
        opened: impl Fn() + Clone + Send + Sync + 'static,
    ) -> PgPool {
        let mut session = Session::of(role, search_path).with_timeout(statement_timeout);
        if self.0.are_several() {
            session = session.must_write();
        }
        let checked = session.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(move |connection, _| {
                let (session, opened) = (checked.clone(), opened.clone());
                Box::pin(async move {
                    session.check(connection).await?;
                    opened();
                    Ok(())
                })
            });
        self.0.pool(pool, move |server| session.ask(server.clone()))
    }

    /// Opens a connection as the user itself, with PostgreSQL's default search path.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL refuses the connection, or if a connection pooler is before it.
    pub async fn connect_as_user(&self) -> sqlx::Result<PgConnection> {
        in_time(session::connect_directly(self.options())).await
    }

    /// Opens a connection with this role and search path. A pool that cannot open one does not say why.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL refuses the connection, or gives it another role or search path.
    pub async fn connect(&self, role: &str, search_path: &str) -> sqlx::Result<PgConnection> {
        let session = Session::of(role, search_path);
        let options = session.ask(self.options());
        in_time(async {
            let connecting = PgConnection::connect_with(&options).await;
            let mut connection = connecting.map_err(|error| session.explained(error))?;
            session.check(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Checks that transactions get what this session asks for, and that a pooler keeps what they prepare.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL refuses the connection, if it gives transactions another role or search path, or if a pooler loses
    /// prepared statements.
    pub async fn check_reads(&self, session: &Session) -> sqlx::Result<()> {
        let connect = async || {
            let connecting = PgConnection::connect_with(&session.ask(self.options())).await;
            connecting.map_err(|error| session.explained(error))
        };
        let mut first = connect().await?;
        session.check(&mut first).await?;
        session.check_statements([first, connect().await?]).await
    }

    /// Opens a pool for read-only transactions in this session, whose connections `warm_up` prepares. It does not wait for PostgreSQL.
    ///
    /// # Panics
    /// Panics outside of a Tokio runtime.
    #[must_use]
    pub fn read_pool(&self, session: Session, connections: usize, warm_up: WarmUp) -> ReadPool {
        ReadPool::of_hosts(self.0.clone(), session, connections, warm_up)
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

/// The error of a connection that takes too long, such as to a host whose packets are dropped.
async fn in_time<T>(connecting: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| {
        let message = format!("no answer within {} s", MAX_CONNECT.as_secs());
        Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            message,
        )))
    };
    timeout(MAX_CONNECT, connecting).await.unwrap_or_else(late)
}

fn hosts_of(reader: &mut Reader<'_>, name: &str, url: &str, wanted: Wanted) -> Option<Hosts> {
    let expected = format!("{URL} {}", wanted.targets().join(" or "));
    reader.valid(name, &expected, Hosts::from_url(url, wanted))
}

fn options_from_parts(prefix: &str, reader: &mut Reader<'_>) -> Option<PgConnectOptions> {
    let advice = format!("set it, or {prefix}URL instead of all {prefix}… variables");
    let mut required = |name: &str| reader.required(&format!("{prefix}{name}"), &advice);
    let (host, user, password, name) = (required("HOST"), required("USER"), required("PASS"), required("NAME"));
    if let Some(several) = host.as_ref().filter(|host| host.contains(',')) {
        reader.problem(format!(
            "invalid `{prefix}HOST`: expected one host, got `{several}`; {prefix}URL may name several"
        ));
    }
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
    fn several_hosts_belong_into_the_url() {
        let parts = [
            ("DB_HOST", "a.example,b.example"),
            ("DB_USER", "u"),
            ("DB_PASS", "p"),
            ("DB_NAME", "n"),
        ];
        let problem = Source::of(&parts).read(DatabaseSettings::read).unwrap_err().to_string();
        assert!(
            problem.contains("expected one host, got `a.example,b.example`; DB_URL may name several"),
            "{problem}"
        );
        let url = "postgresql://u:pa55@a.example,b.example/name?target_session_attrs=standby";
        let problem = Source::of(&[("DB_URL", url)])
            .read(DatabaseSettings::read)
            .unwrap_err()
            .to_string();
        assert!(
            problem.contains("`target_session_attrs` may be read-write or primary") && !problem.contains("pa55"),
            "{problem}"
        );
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
