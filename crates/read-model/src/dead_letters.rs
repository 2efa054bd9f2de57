//! Events that could not be applied. The events themselves stay in the journal.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EventId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// A row of `dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The event.
    pub event_id: Uuid,
    /// Whose, where the event says it.
    pub account_id: Option<i64>,
    /// The event's type, such as `dbt.artifacts.uploaded.v1`.
    pub event_type: String,
    /// When the event was accepted.
    pub event_time: DateTime<Utc>,
    /// When it was given up.
    pub died_at: DateTime<Utc>,
    /// Why.
    pub cause: String,
}

/// All dead letters that were not dropped, or those of an account, in the order of their events.
///
/// # Errors
/// Those of the database.
pub async fn dead_letters(connection: &mut PgConnection, account: Option<AccountId>) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        "SELECT event_id, account_id, event_type, event_time, died_at, cause FROM dead_letters
         WHERE dropped_at IS NULL AND ($1::bigint IS NULL OR account_id = $1) ORDER BY event_time, event_id",
        account.map(|account| account.0)
    )
    .fetch_all(connection)
    .await
}

/// How many dead letters there are that were not dropped.
///
/// # Errors
/// Those of the database.
pub async fn count_dead_letters(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM dead_letters WHERE dropped_at IS NULL"#)
        .fetch_one(connection)
        .await
}

/// A dead letter by its event, unless it was dropped.
///
/// # Errors
/// Those of the database.
pub async fn dead_letter(connection: &mut PgConnection, event: EventId) -> sqlx::Result<Option<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        "SELECT event_id, account_id, event_type, event_time, died_at, cause FROM dead_letters
         WHERE event_id = $1 AND dropped_at IS NULL",
        event.0
    )
    .fetch_optional(connection)
    .await
}

/// Gives an event up for good: it is no longer listed, and neither the stream nor the sweep brings it back. Its object in the journal stays.
///
/// # Errors
/// Those of the database.
pub async fn drop_dead_letter(connection: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE dead_letters SET dropped_at = now() WHERE event_id = $1",
        event.0
    )
    .execute(connection)
    .await?;
    Ok(())
}
