//! The servers whose places in the write-ahead log are compared, and whether one is a copy of the other.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::database::DatabaseSettings;
use crate::session;

/// How long a server may take to say its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a server is in the write-ahead log, in bytes, and the number of a table. Everybody may read the catalog. A table keeps its number in
/// physical copies; another installation on the same server has another.
const PLACE: &str = "
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
       (SELECT pg_class.oid::bigint FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = 'directory' AND relname = 'accounts')";

/// What a server is. A standby says only late on which timeline it is (`pg_control_checkpoint`), so it is not asked.
const IDENTITY: &str = "
SELECT (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// A server that is asked for its place.
pub(super) struct Server {
    settings: DatabaseSettings,
    /// Whether it is one of `DB_READ_URL`.
    is_replica: bool,
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
    pub(super) fn primary(settings: DatabaseSettings) -> Self {
        Self::of(settings, false)
    }

    pub(super) fn replica(settings: DatabaseSettings) -> Self {
        Self::of(settings, true)
    }

    fn of(settings: DatabaseSettings, is_replica: bool) -> Self {
        Self {
            settings,
            is_replica,
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
                let connected = PgConnection::connect_with(&self.settings.options()).await;
                self.connection.insert(connected.map_err(|error| {
                    if self.is_replica {
                        session::explained_for_reads(error)
                    } else {
                        session::explained(error)
                    }
                })?)
            }
        };
        // Without prepared statements, which poolers may not keep.
        let place = sqlx::raw_sql(PLACE).fetch_one(&mut *connection).await?;
        let identity = match sqlx::raw_sql(IDENTITY).fetch_one(connection).await {
            // An administrator may have closed these functions, and not every service has them.
            Err(sqlx::Error::Database(_)) => None,
            asked => Some(asked?),
        };
        let identity = identity.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?)));
        let (system, timeline) = identity.transpose()?.unwrap_or_default();
        Ok(Place {
            position: place.try_get(0)?,
            table: place.try_get(1)?,
            system,
            timeline,
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
/// Returns [`sqlx::Error::Configuration`] if it is another server or database, or if the primary does not say what it is, and the error of the
/// server for reads if that fails.
pub async fn check_copy(primary: &DatabaseSettings, replica: &DatabaseSettings) -> sqlx::Result<()> {
    let (mut primary, mut replica) = (Server::primary(primary.clone()), Server::replica(replica.clone()));
    let (primary, replica) = tokio::join!(primary.place(), replica.place());
    let replica = replica?;
    let compared = match primary {
        Ok(primary) => replica.ensure_copy_of(&primary),
        Err(error) => Err(format!("cannot be compared with the primary: {error}")),
    };
    compared.map_err(|problem| sqlx::Error::Configuration(problem.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(system: Option<i64>, table: Option<i64>, timeline: Option<&str>) -> Place {
        Place {
            position: 0,
            system,
            table,
            timeline: timeline.map(str::to_owned),
        }
    }

    #[test]
    fn only_physical_copies_of_the_primary_are_read() {
        let primary = place(Some(7), Some(16_400), Some("00000002"));
        for same in [
            place(Some(7), Some(16_400), None),
            // What a server does not say does not count.
            place(None, Some(16_400), None),
            // It was promoted, and the primary is not found there yet.
            place(Some(7), Some(16_400), Some("00000003")),
        ] {
            assert_eq!(same.ensure_copy_of(&primary), Ok(()));
        }
        for (other, words) in [
            (
                place(Some(8), Some(16_400), None),
                "expected the system identifier 7, got 8",
            ),
            (place(Some(7), Some(16_401), None), "another database"),
            (place(Some(7), None, None), "not replayed `dbt-api migrate` yet"),
            (place(Some(7), Some(16_400), Some("00000001")), "a former primary"),
        ] {
            let problem = other.ensure_copy_of(&primary).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let not_migrated = place(Some(7), None, Some("00000002"));
        assert_eq!(place(Some(7), None, None).ensure_copy_of(&not_migrated), Ok(()));
    }
}
