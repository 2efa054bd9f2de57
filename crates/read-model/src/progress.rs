//! How far a rebuild is, as far as the database knows.

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::format::needs_rebuild;
use crate::rebuild::has_schema;

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How many events the read model in use has processed: applied events and dead letters. Those of accounts and tokens are not among them.
    pub events: i64,
    /// How many events are being applied, or were when a projector ended.
    pub attempts: i64,
    /// Whether a process is rebuilding.
    pub is_rebuilding: bool,
    /// The read model that a rebuild makes, if there is one.
    pub next: Option<Next>,
    /// Whether earlier uploads should be projected again.
    pub needs_rebuild: bool,
}

/// The read model that a rebuild makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// How many events it has processed.
    pub events: i64,
}

/// Looks how far a rebuild is. `next` is the schema that a rebuild fills.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn progress(connection: &mut PgConnection, next: &'static str) -> sqlx::Result<Progress> {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM dead_letters) AS "events!",
            (SELECT count(*) FROM attempts WHERE starts > 0) AS "attempts!",
            EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
                    AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('dbt-api rebuild', 0)) AS "is_rebuilding!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    let next = match has_schema(connection, next).await? {
        false => None,
        true => {
            let count =
                format!("SELECT (SELECT count(*) FROM {next}.ledger) + (SELECT count(*) FROM {next}.dead_letters)");
            let events = sqlx::query_scalar(AssertSqlSafe(count))
                .fetch_one(&mut *connection)
                .await?;
            Some(Next { events })
        }
    };
    Ok(Progress {
        events: row.events,
        attempts: row.attempts,
        is_rebuilding: row.is_rebuilding,
        next,
        needs_rebuild: needs_rebuild(connection).await?,
    })
}
