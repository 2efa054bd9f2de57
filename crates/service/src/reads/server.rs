//! The servers whose places in the write-ahead log are compared, and whether one is a copy of the other.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::database::DatabaseSettings;

/// How long a server may take to say its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a server is in the write-ahead log, and what it is. Everybody may read the catalog, but an administrator may have closed the function.
/// A table keeps its number in physical copies, and another installation on the same server has another number. In recovery, PostgreSQL does not
/// say its timeline.
const PLACE: &str = "
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
       CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') THEN (SELECT system_identifier FROM pg_control_system()) END,
       (SELECT pg_class.oid::bigint FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = 'directory' AND relname = 'accounts'),
       CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// A server that is asked for its place.
pub(super) struct Server {
    settings: DatabaseSettings,
    connection: Option<PgConnection>,
    /// The number of the server that the connection leads to, among several.
    number: usize,
}

/// Where a server is, and what it is as far as that is known.
pub(super) struct Place {
    /// What it has written or replayed of the write-ahead log, in bytes.
    pub(super) position: i64,
    /// The number that PostgreSQL gives a server when it is made, which physical copies keep.
    system: Option<i64>,
    /// The number of the table of accounts.
    table: Option<i64>,
    /// The timeline, in hexadecimal digits, if the server is no standby. Each promotion begins the next.
    timeline: Option<String>,
}

impl Server {
    pub(super) fn of(settings: DatabaseSettings) -> Self {
        Self {
            settings,
            connection: None,
            number: 0,
        }
    }

    pub(super) async fn place(&mut self) -> sqlx::Result<Place> {
        let asked = timeout(PATIENCE, self.ask()).await;
        let late = || sqlx::Error::Protocol(format!("no answer within {} s", PATIENCE.as_secs()));
        let place = asked.unwrap_or_else(|_| Err(late()));
        if place.is_err() {
            self.connection = None;
        }
        place
    }

    async fn ask(&mut self) -> sqlx::Result<Place> {
        if self.number != self.settings.server() {
            self.connection = None;
            self.number = self.settings.server();
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let options = self.settings.options();
                self.connection.insert(PgConnection::connect_with(&options).await?)
            }
        };
        // Without a prepared statement, which poolers may not keep.
        let row = sqlx::raw_sql(PLACE).fetch_one(connection).await?;
        Ok(Place {
            position: row.try_get(0)?,
            system: row.try_get(1)?,
            table: row.try_get(2)?,
            timeline: row.try_get(3)?,
        })
    }
}

impl Place {
    /// Checks that this server is the primary, or a physical copy of it. What is not known does not count.
    ///
    /// # Errors
    /// Returns what is wrong with `DB_READ_URL`.
    pub(super) fn ensure_copy_of(&self, primary: &Self) -> Result<(), String> {
        if let (Some(found), Some(expected)) = (self.system, primary.system)
            && found != expected
        {
            return Err(format!(
                "DB_READ_URL does not lead to a copy of the primary: expected the system identifier {expected}, got {found}"
            ));
        }
        if primary.table.is_some() && self.table != primary.table {
            return Err(
                "DB_READ_URL leads to another database than DB_URL: expected the same, or its physical copy".to_owned(),
            );
        }
        // The server that is promoted next is ahead until the primary is found there.
        match (&self.timeline, &primary.timeline) {
            (Some(found), Some(expected)) if found < expected => Err(format!(
                "DB_READ_URL leads to a former primary: expected the timeline {expected} or a later one, got {found}"
            )),
            _ => Ok(()),
        }
    }
}

/// Checks that the server for reads is the primary, or a physical copy of it.
///
/// # Errors
/// Returns [`sqlx::Error::Configuration`] if it is another server or database, and the error of a connection that fails.
pub async fn check_copy(primary: &DatabaseSettings, replica: &DatabaseSettings) -> sqlx::Result<()> {
    let [mut primary, mut replica] = [primary, replica].map(|settings| Server::of(settings.clone()));
    let (primary, replica) = (primary.place().await?, replica.place().await?);
    replica
        .ensure_copy_of(&primary)
        .map_err(|problem| sqlx::Error::Configuration(problem.into()))
}
