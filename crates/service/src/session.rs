//! The role, the search path and the time limits of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Why a pooler cannot be used.
pub(crate) const LOST_STATEMENTS: &str = "the pooler of DB_READ_URL gives each transaction another connection, and does not keep prepared statements: set `max_prepared_statements` (PgBouncer 1.21 or newer) or `pool_mode = session` there, then restart `api`";

/// What to do if a pooler is where none may be.
const SET_DB_URL: &str =
    "set DB_URL to PostgreSQL itself, and DB_READ_URL to the connection pooler, such as PgBouncer, to read through it";

/// What to do if the pooler of reads refuses a parameter that the driver sends.
const IGNORE_PARAMETER: &str = "set `ignore_startup_parameters = extra_float_digits` in the pooler of DB_READ_URL";

/// In which order two connections are asked which processes serve them. A pooler that swaps them is noticed, also if it takes the processes in
/// turn.
const ASKED: [usize; 8] = [0, 1, 1, 0, 1, 0, 0, 1];

/// A setting of connections that only tells whether PostgreSQL received it.
const DIRECT: &str = "dbt_api.is_direct";

/// Opens a connection to PostgreSQL itself.
///
/// # Errors
/// Returns [`sqlx::Error::Configuration`] if a connection pooler is before it, and the error of the connection if it fails.
pub(crate) async fn connect_directly(options: PgConnectOptions) -> sqlx::Result<PgConnection> {
    let options = options.options([(DIRECT, "true")]);
    let mut connection = PgConnection::connect_with(&options).await.map_err(explained)?;
    // Without a prepared statement, which poolers may not keep.
    let asked = AssertSqlSafe(format!(
        "SELECT coalesce(current_setting('{DIRECT}', true), '') = 'true'"
    ));
    if sqlx::raw_sql(asked).fetch_one(&mut connection).await?.try_get(0)? {
        return Ok(connection);
    }
    let problem = format!("the startup parameter `options` did not reach PostgreSQL: {SET_DB_URL}");
    Err(sqlx::Error::Configuration(problem.into()))
}

/// The error of a connection to PostgreSQL itself, with what to do if a connection pooler refused it.
#[must_use]
pub fn explained(error: sqlx::Error) -> sqlx::Error {
    with_advice(error, SET_DB_URL)
}

/// The error of a connection to a server for reads, with what to do if a connection pooler refused it.
pub(crate) fn explained_for_reads(error: sqlx::Error) -> sqlx::Error {
    with_advice(error, IGNORE_PARAMETER)
}

/// PgBouncer 1.18 and 1.25 say `unsupported startup parameter`.
fn with_advice(error: sqlx::Error, advice: &str) -> sqlx::Error {
    match &error {
        sqlx::Error::Database(database) if database.message().contains("unsupported startup parameter") => {
            sqlx::Error::Configuration(format!("{}: {advice}", database.message()).into())
        }
        _ => error,
    }
}

/// What connections ask PostgreSQL for, and what their statements must get. A connection pooler may drop it silently: then statements run as the user
/// itself, past the policies that separate accounts and environments.
#[derive(Clone, Debug)]
pub struct Session {
    /// The role that statements run as.
    role: String,
    /// The schemas in which names are looked up, separated by commas.
    search_path: String,
    /// How long a statement may take.
    statement_timeout: Option<Duration>,
    /// Whether each transaction asks, instead of the connection when it is opened.
    in_transactions: bool,
    /// Whether the server must accept writes.
    must_write: bool,
    /// Whether the last connection had a problem, which was logged.
    has_problem: Arc<AtomicBool>,
}

impl Session {
    /// A session with this role and search path.
    #[must_use]
    pub fn of(role: &str, search_path: &str) -> Self {
        Self {
            role: role.to_owned(),
            search_path: search_path.to_owned(),
            statement_timeout: None,
            in_transactions: false,
            must_write: false,
            has_problem: Arc::default(),
        }
    }

    /// The same session, whose statements end after this time.
    #[must_use]
    pub fn with_timeout(self, statement_timeout: Duration) -> Self {
        Self {
            statement_timeout: Some(statement_timeout),
            ..self
        }
    }

    /// The same session, for which each transaction asks when it begins. A pooler that gives each transaction another connection to
    /// PostgreSQL keeps to it, too.
    #[must_use]
    pub fn in_transactions(self) -> Self {
        Self {
            in_transactions: true,
            ..self
        }
    }

    /// The same session, for one of several servers: those that do not accept writes are refused.
    pub(crate) fn must_write(self) -> Self {
        Self {
            must_write: true,
            ..self
        }
    }

    /// How long a statement may take, if that is limited.
    pub(crate) fn statement_timeout(&self) -> Duration {
        self.statement_timeout.unwrap_or_default()
    }

    /// The error of a connection, with what to do if a connection pooler refused it.
    pub(crate) fn explained(&self, error: sqlx::Error) -> sqlx::Error {
        if self.in_transactions {
            explained_for_reads(error)
        } else {
            explained(error)
        }
    }

    /// Whether transactions ask, so that there may be a pooler.
    pub(crate) fn asks_in_transactions(&self) -> bool {
        self.in_transactions
    }

    /// The process of PostgreSQL that a connection is served by, unless another one may serve its next transaction: a pooler that keeps
    /// prepared statements for its clients gives them names of its own (PgBouncer 1.21: `max_prepared_statements`).
    pub(crate) async fn process(&self, connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
        // Prepared, so that its own name is among those that it looks for.
        let asked =
            "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_prepared_statements WHERE starts_with(name, 'sqlx_s_'))";
        let (process, keeps_name): (i32, bool) = match sqlx::query_as(asked).fetch_one(connection).await {
            // Another client has prepared a statement of the same name in this process (42P05, `duplicate_prepared_statement`).
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P05") => {
                return Err(self.lost_statements());
            }
            asked => asked?,
        };
        Ok((keeps_name || !self.in_transactions).then_some(process))
    }

    /// Checks that prepared statements are not lost between the transactions of these connections.
    pub(crate) async fn check_statements(&self, mut connections: [PgConnection; 2]) -> sqlx::Result<()> {
        let mut processes = [0; 2];
        for (connection, process) in connections.iter_mut().zip(&mut processes) {
            match self.process(connection).await? {
                Some(found) => *process = found,
                None => return Ok(()),
            }
        }
        let mut is_kept = processes[0] != processes[1];
        for index in ASKED {
            let asked = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(&mut connections[index]);
            is_kept &= asked.await?.try_get::<i32, _>(0)? == processes[index];
        }
        if is_kept { Ok(()) } else { Err(self.lost_statements()) }
    }

    /// The error of a transaction for which the statements that its connection prepared are lost. The first of several is logged.
    pub(crate) fn lost_statements(&self) -> sqlx::Error {
        let problem = LOST_STATEMENTS;
        if !self.has_problem.swap(true, Ordering::Relaxed) {
            tracing::error!(problem, "connections to PostgreSQL cannot be used");
        }
        sqlx::Error::Configuration(problem.into())
    }

    /// Asks in the options of connections, unless transactions ask.
    pub(crate) fn ask(&self, options: PgConnectOptions) -> PgConnectOptions {
        if self.in_transactions {
            return options;
        }
        let options = options.options([("role", &self.role), ("search_path", &self.search_path)]);
        if self.statement_timeout.is_none() {
            return options;
        }
        options.options(self.limits()).options([
            // The locks of a machine that vanished must not be held for the hours that operating systems wait by default.
            ("tcp_keepalives_idle", "15"),
            ("tcp_keepalives_interval", "15"),
            ("tcp_keepalives_count", "3"),
        ])
    }

    /// The statements with which a transaction asks; none if the connection has asked. Each ends with a semicolon.
    pub(crate) fn local_statements(&self) -> String {
        if !self.in_transactions {
            return String::new();
        }
        let mut statements = format!(
            "SET LOCAL ROLE {}; SET LOCAL search_path = {}; ",
            self.role, self.search_path
        );
        for (name, value) in self.limits() {
            statements += &format!("SET LOCAL {name} = '{value}'; ");
        }
        statements
    }

    /// The time limits of statements, and what else makes them end in time.
    fn limits(&self) -> [(&'static str, String); 4] {
        let limit = self.statement_timeout().as_millis();
        [
            ("statement_timeout", format!("{limit}ms")),
            // Shorter, so that waiting for a lock ends with another error than a statement that takes too long by itself.
            ("lock_timeout", format!("{}ms", limit / 2)),
            // A batch waits for the bucket while it holds its locks, and an event's turn is held while its files are read.
            ("idle_in_transaction_session_timeout", "0".to_owned()),
            // Compiling a statement takes longer than the short statements here, whose arrays seem costly to the planner.
            ("jit", "off".to_owned()),
        ]
    }

    /// Checks what a connection got. The first problem of several is logged.
    ///
    /// # Errors
    /// Returns [`sqlx::Error::Configuration`] if statements would run as another role, past all policies, or in other schemas, and the error of
    /// the query if it fails.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        const QUESTION: &str = "SELECT current_user::text, current_setting('search_path'), rolsuper OR rolbypassrls, current_setting('transaction_read_only')::boolean FROM pg_roles WHERE rolname = current_user";
        let question = if self.in_transactions {
            format!("BEGIN READ ONLY; {}{QUESTION}; COMMIT", self.local_statements())
        } else {
            QUESTION.to_owned()
        };
        let got = sqlx::raw_sql(AssertSqlSafe(question)).fetch_all(connection).await?;
        let got = got.first().ok_or(sqlx::Error::RowNotFound)?;
        if self.must_write && got.try_get(3)? {
            return Err(sqlx::Error::Protocol(
                "the server is read-only, such as a standby".to_owned(),
            ));
        }
        let problem = self.problem(got.try_get(0)?, got.try_get(1)?, got.try_get(2)?);
        let had_problem = self.has_problem.swap(problem.is_some(), Ordering::Relaxed);
        let Some(problem) = problem else { return Ok(()) };
        if !had_problem {
            tracing::error!(problem, "connections to PostgreSQL cannot be used");
        }
        Err(sqlx::Error::Configuration(problem.into()))
    }

    fn problem(&self, role: &str, search_path: &str, is_unrestricted: bool) -> Option<String> {
        if is_unrestricted && role == self.role {
            return Some(format!(
                "the role `{role}` is not subject to the policies that separate accounts: run `ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS`"
            ));
        }
        if role == self.role && plain(search_path) == plain(&self.search_path) {
            return None;
        }
        Some(format!(
            "statements run as the role `{role}` with the search path `{search_path}`: expected the role `{}` with `{}`. The startup parameter \
             `options` may not have reached PostgreSQL: {SET_DB_URL}",
            self.role, self.search_path
        ))
    }
}

/// A search path without blanks and quotes.
fn plain(search_path: &str) -> String {
    search_path
        .chars()
        .filter(|letter| ![' ', '"'].contains(letter))
        .collect()
}
