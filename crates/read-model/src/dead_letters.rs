//! Events that could not be applied. The events themselves stay in the journal.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EventId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// A row of `dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The id of the event.
    pub event_id: Uuid,
    /// The account of the event, if the event names it.
    pub account_id: Option<i64>,
    /// The event's type, such as `dbt.artifacts.uploaded.v1`.
    pub event_type: String,
    /// When the event was accepted.
    pub event_time: DateTime<Utc>,
    /// When the event became a dead letter.
    pub died_at: DateTime<Utc>,
    /// The error.
    pub cause: String,
}

/// Lists at most `limit` of the dead letters that were not dropped, of all accounts or of one, in the order of their events.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn dead_letters(
    connection: &mut PgConnection,
    account: Option<AccountId>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        "SELECT event_id, account_id, event_type, event_time, died_at, cause FROM dead_letters
         WHERE dropped_at IS NULL AND ($1::bigint IS NULL OR account_id = $1) ORDER BY event_time, event_id
         LIMIT $2",
        account.map(|account| account.0),
        limit
    )
    .fetch_all(connection)
    .await
}

/// Returns those of these events that are dead letters and were not dropped, in any order.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn dead_of(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<Vec<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.0).collect();
    let dead = sqlx::query_scalar!(
        "SELECT event_id FROM dead_letters WHERE event_id = ANY($1) AND dropped_at IS NULL",
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(dead.into_iter().map(EventId).collect())
}

/// Counts the dead letters that were not dropped.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn count_dead_letters(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM dead_letters WHERE dropped_at IS NULL"#)
        .fetch_one(connection)
        .await
}

/// Returns the dead letter of an event, unless it was dropped.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Drops a dead letter permanently. It is no longer listed, and neither the stream nor the sweep applies the event again. The event's
/// object stays in the journal.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn drop_dead_letter(connection: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE dead_letters SET dropped_at = now() WHERE event_id = $1",
        event.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops a dead letter because an event of the journal says so. An event that becomes a dead letter only later is dropped then.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn mark_dropped(transaction: &mut PgConnection, event: EventId, time: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE dead_letters SET dropped_at = $2 WHERE event_id = $1 AND dropped_at IS NULL",
        event.0,
        time
    )
    .execute(transaction)
    .await?;
    Ok(())
}
