//! The servers whose places in the write-ahead log are compared, and whether one is a copy of the other.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};
use tokio::time::{sleep, timeout};

use crate::database::DatabaseSettings;
use crate::session;

/// How long a server may take to say its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long [`check_copy`] waits at most until a standby has replayed what the primary had written, and the pause between two looks at it.
const MAX_CATCHING_UP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Where a server is in the write-ahead log, in bytes, the number of the database, when the server was started, in microseconds, and whether it is
/// a standby. Physical copies keep the number of the database; another database of the same server has another.
const PLACE: &str = "
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
       pg_is_in_recovery()";

/// The number that PostgreSQL gives a server when it is made, which physical copies keep.
const SYSTEM: &str = "SELECT system_identifier FROM pg_control_system()";

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
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What it has written or replayed of the write-ahead log, in bytes.
    pub(super) position: i64,
    database: i64,
    /// When it was started, in microseconds, which tells servers apart.
    pub(super) started: i64,
    is_standby: bool,
    system: Option<i64>,
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

    /// How long ago the last transaction was committed that a standby has replayed, if it has replayed one.
    async fn behind(&mut self) -> sqlx::Result<Option<Duration>> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let asked =
            sqlx::raw_sql("SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8");
        let seconds: Option<f64> = asked.fetch_one(connection).await?.try_get(0)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()))
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
        let system = match sqlx::raw_sql(SYSTEM).fetch_one(connection).await {
            // An administrator may have closed the function, and not every service has it.
            Err(sqlx::Error::Database(_)) => None,
            asked => Some(asked?.try_get(0)?),
        };
        Ok(Place {
            position: place.try_get(0)?,
            database: place.try_get(1)?,
            started: place.try_get(2)?,
            is_standby: place.try_get(3)?,
            system,
        })
    }
}

impl Place {
    /// Checks that this server has the same database as the primary, or a physical copy of it. What is not known does not count.
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
        if self.database != primary.database {
            return Err(
                "DB_READ_URL leads to another database than DB_URL: expected the same, or that of a standby".to_owned(),
            );
        }
        Ok(())
    }

    /// Checks that this server is a standby, or the primary itself. Only while a primary answers can another one be known.
    ///
    /// # Errors
    /// Returns what is wrong with `DB_READ_URL`.
    pub(super) fn ensure_no_other_primary_than(&self, primary: &Self) -> Result<(), String> {
        // Such as a former primary, or a standby that was promoted by mistake.
        if !self.is_standby && !primary.is_standby && self.started != primary.started {
            return Err(
                "DB_READ_URL leads to a server that accepts writes and is not the primary: expected a standby"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Checks that the server for reads is the primary, or a standby of it that is at most this far behind.
///
/// # Errors
/// Returns [`sqlx::Error::Configuration`] if it is another server or database, if it is too far behind, or if the primary does not answer, and the
/// error of the server for reads if that fails.
pub async fn check_copy(primary: &DatabaseSettings, replica: &DatabaseSettings, max_lag: Duration) -> sqlx::Result<()> {
    let (mut primary, mut replica) = (Server::primary(primary.clone()), Server::replica(replica.clone()));
    let problem = |problem: String| sqlx::Error::Configuration(problem.into());
    let written = primary.place().await;
    let written = written.map_err(|error| problem(format!("cannot be compared with the primary: {error}")))?;
    let waited = max_lag.min(MAX_CATCHING_UP);
    let begun = Instant::now();
    loop {
        let replayed = replica.place().await?;
        let compared = replayed.ensure_copy_of(&written);
        compared
            .and_then(|()| replayed.ensure_no_other_primary_than(&written))
            .map_err(problem)?;
        if replayed.position >= written.position {
            return Ok(());
        }
        if begun.elapsed() >= waited {
            let behind = replica.behind().await?;
            return match behind {
                Some(behind) if behind <= max_lag => Ok(()),
                _ => Err(problem(format!(
                    "{} behind the primary: DB_READ_MAX_LAG_SECONDS allows {} s",
                    behind.map_or_else(
                        || "it is not known how far".to_owned(),
                        |behind| format!("{:.1} s", behind.as_secs_f64())
                    ),
                    max_lag.as_secs()
                ))),
            };
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: Place = Place {
        position: 0,
        database: 16_400,
        started: 1,
        is_standby: false,
        system: Some(7),
    };

    #[test]
    fn the_primary_and_its_standbys_are_read() {
        let standby = Place {
            started: 2,
            is_standby: true,
            ..PRIMARY
        };
        // What a server does not say does not count.
        let silent = Place {
            system: None,
            ..standby
        };
        for copy in [PRIMARY, standby, silent] {
            assert_eq!(copy.ensure_copy_of(&PRIMARY), Ok(()));
            assert_eq!(copy.ensure_no_other_primary_than(&PRIMARY), Ok(()));
        }
    }

    #[test]
    fn no_other_server_is_read() {
        let standby = Place {
            started: 2,
            is_standby: true,
            ..PRIMARY
        };
        for (other, words) in [
            (
                Place {
                    system: Some(8),
                    ..standby
                },
                "expected the system identifier 7, got 8",
            ),
            (
                Place {
                    database: 16_401,
                    ..standby
                },
                "another database",
            ),
        ] {
            let problem = other.ensure_copy_of(&PRIMARY).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let promoted = Place { started: 2, ..PRIMARY };
        let problem = promoted.ensure_no_other_primary_than(&PRIMARY).unwrap_err();
        assert!(problem.contains("accepts writes and is not the primary"), "{problem}");
    }
}
