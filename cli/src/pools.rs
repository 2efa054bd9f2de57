//! The pools of connections to PostgreSQL: with which role each connects, how many connections it has and how long its statements may take.

use std::time::{Duration, Instant};

use ::settings::Reader;
use bucket::DeletedTokens;
use service::{DatabaseSettings, ReadPool, Reads, Session};
use sqlx::{PgConnection, PgPool};

/// The most connections of each role, so that all roles together stay below PostgreSQL's default limit of 100.
const CONNECTIONS: u32 = 20;

/// The connections of the read side, to the primary and to the servers that are read instead.
pub(crate) const READER_CONNECTIONS: usize = 20;

/// The connections with which a write side that runs alone serves the reads of uploaders.
pub(crate) const UPLOADERS_READER_CONNECTIONS: usize = 4;

/// The connections of a command's projector, which applies several events at the same time.
const COMMAND_CONNECTIONS: u32 = 10;

/// The time limit for statements of the read side. Clients time out soon after it.
const READ_STATEMENT: Duration = Duration::from_secs(20);

/// The time limit for statements of ingest.
const INGEST_STATEMENT: Duration = Duration::from_secs(5);

/// The time limit for statements of the projector, which may write a hundred thousand nodes to a slow disk.
const PROJECTOR_STATEMENT: Duration = Duration::from_secs(300);

/// The connections of the pages for operators.
const PAGES_CONNECTIONS: u32 = 4;

/// The time limit for statements of the pages for operators.
const PAGES_STATEMENT: Duration = Duration::from_secs(10);

/// The time limit for statements of operators' commands.
const OPERATOR_STATEMENT: Duration = Duration::from_secs(60);

/// The pool of ingest, whose new connections make it look for tokens that were deleted.
pub(crate) fn ingest(database: &DatabaseSettings, deleted_tokens: &DeletedTokens) -> PgPool {
    let deleted_tokens = deleted_tokens.clone();
    database.watched_pool(
        PoolRole::Ingest.name(),
        read_model::SEARCH_PATH,
        CONNECTIONS,
        INGEST_STATEMENT,
        move || deleted_tokens.postgres_was_reached(Instant::now()),
    )
}

/// The pool of the read side, with this many connections, which are open all the time.
pub(crate) fn reader(database: &DatabaseSettings, connections: usize) -> ReadPool {
    database.read_pool(reader_session(), connections, api::warm_up)
}

/// The pools of the read side: of the primary, and of the servers that are read instead, if there are some.
pub(crate) fn reads(primary: &DatabaseSettings, replica: Option<&ReplicaSettings>) -> Reads {
    let primary = reader(primary, READER_CONNECTIONS);
    match replica {
        None => Reads::of_primary(primary),
        Some(replica) => {
            let session = reader_session().in_transactions();
            let pool = replica.database.read_pool(session, READER_CONNECTIONS, api::warm_up);
            Reads::with_replica(primary, pool, replica.max_lag)
        }
    }
}

fn reader_session() -> Session {
    Session::of(PoolRole::Reader.name(), read_model::SEARCH_PATH).with_timeout(READ_STATEMENT)
}

/// The pool of the read side's health check. It is separate, so that a busy read side is not mistaken for an unavailable database.
pub(crate) fn reader_check(database: &DatabaseSettings) -> PgPool {
    database.pool(PoolRole::Reader.name(), read_model::SEARCH_PATH, 1, READ_STATEMENT)
}

/// The pool of the projector, with full rights on the directory and the read model.
pub(crate) fn projector(database: &DatabaseSettings) -> PgPool {
    with_full_rights(database, CONNECTIONS, PROJECTOR_STATEMENT)
}

/// The pool of a command's projector, which writes to the read model in this search path.
pub(crate) fn command_projector(database: &DatabaseSettings, search_path: &str) -> PgPool {
    database.pool(
        PoolRole::Projector.name(),
        search_path,
        COMMAND_CONNECTIONS,
        PROJECTOR_STATEMENT,
    )
}

/// The pool that records the changes of Datacoves' database. Only one synchronization runs at a time, so it needs one connection.
pub(crate) fn datacoves(database: &DatabaseSettings) -> PgPool {
    with_full_rights(database, 1, INGEST_STATEMENT)
}

/// The pool of an operator's command, which does one thing at a time.
pub(crate) fn operator(database: &DatabaseSettings) -> PgPool {
    with_full_rights(database, 1, OPERATOR_STATEMENT)
}

/// The pool of the pages for operators. They see all accounts, but can change nothing.
pub(crate) fn operator_pages(database: &DatabaseSettings) -> PgPool {
    let role = PoolRole::Operator.name();
    database.pool(role, read_model::SEARCH_PATH, PAGES_CONNECTIONS, PAGES_STATEMENT)
}

/// The servers that are read instead of the primary.
#[derive(Clone)]
pub(crate) struct ReplicaSettings {
    pub(crate) database: DatabaseSettings,
    /// How far they may be behind.
    pub(crate) max_lag: Duration,
}

impl ReplicaSettings {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_lag = reader.number("DB_READ_MAX_LAG_SECONDS", 1..=3600, 10);
        let database = DatabaseSettings::read_for_reads(reader)?;
        Some(Self {
            database,
            max_lag: Duration::from_secs(max_lag),
        })
    }

    /// Checks that they can be read as the read side does, and are copies of the primary.
    pub(crate) async fn check(&self, primary: &DatabaseSettings) -> sqlx::Result<()> {
        self.database.choose_server().await;
        // First, because the server of another installation may not even have the roles.
        service::check_copy(primary, &self.database, self.max_lag).await?;
        self.database.check_reads(&reader_session().in_transactions()).await
    }
}

/// The roles of PostgreSQL that connections use.
#[derive(Clone, Copy)]
pub(crate) enum PoolRole {
    Ingest,
    Projector,
    Reader,
    /// Of the pages for operators.
    Operator,
}

impl PoolRole {
    pub(crate) const ALL: [Self; 4] = [Self::Ingest, Self::Projector, Self::Reader, Self::Operator];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "dbt_api_ingest",
            Self::Projector => "dbt_api_projector",
            Self::Reader => "dbt_api_reader",
            Self::Operator => "dbt_api_operator",
        }
    }

    /// Opens a connection outside of pools, which says why it cannot be opened.
    pub(crate) async fn connect(self, database: &DatabaseSettings) -> sqlx::Result<PgConnection> {
        database.connect(self.name(), read_model::SEARCH_PATH).await
    }
}

fn with_full_rights(database: &DatabaseSettings, connections: u32, statement_timeout: Duration) -> PgPool {
    let role = PoolRole::Projector.name();
    database.pool(role, read_model::SEARCH_PATH, connections, statement_timeout)
}
