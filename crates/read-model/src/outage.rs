//! Separates temporary errors of PostgreSQL from permanent ones.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long to look for the reason why a pool has no connection. A client is waiting.
const PATIENCE: Duration = Duration::from_millis(300);

/// One attempt at a time: many clients may find a pool busy.
static ATTEMPT: Semaphore = Semaphore::const_new(1);

/// Returns the error to log. A pool that cannot open a connection tries until it gives up, and does not say why: then it is the error of one more
/// attempt, unless another one is being made.
pub async fn explained(pool: &PgPool, error: sqlx::Error) -> sqlx::Error {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error;
    }
    let Ok(_attempt) = ATTEMPT.try_acquire() else {
        return error;
    };
    match timeout(PATIENCE, PgConnection::connect_with(&pool.connect_options())).await {
        Ok(Err(cause)) => cause,
        Ok(Ok(_)) | Err(_) => error,
    }
}

/// Whether a statement timed out. The error does not show whether PostgreSQL is slow at the moment or the statement is too expensive.
#[must_use]
pub fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("57014"))
}

/// Whether a lock was not free in time, because another transaction holds it.
#[must_use]
pub fn is_lock_wait(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("55P03"))
}

/// Whether PostgreSQL rolled a transaction back because others were in the way: a deadlock, or what a standby replays.
#[must_use]
pub fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().is_some_and(|code| code.starts_with("40")))
}

/// Whether PostgreSQL refused a statement because of what others do, or of how much the statement needs: a deadlock or a lack of resources. A
/// smaller transaction may succeed.
#[must_use]
pub fn is_contention(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    let code = database.code();
    code.is_some_and(|code| ["40", "53"].iter().any(|class| code.starts_with(class)))
}

/// Whether the same operation may succeed later because PostgreSQL is unavailable, overloaded, or not ready for this program. Otherwise the
/// statement or its values are at fault.
#[must_use]
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // Connection errors, transaction rollbacks (deadlocks), lack of resources, objects in use, operator intervention and system
            // errors. The codes after them come from a database that is not migrated yet, is read-only after a failover, has time limits for
            // transactions, or is behind a pooler that does not keep prepared statements.
            ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || [
                    "42P01", "42703", "42501", "42P05", "26000", "3F000", "3D000", "25006", "25P03", "25P04", "28000",
                    "28P01",
                ]
                .contains(&code.as_ref())
        }),
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}
