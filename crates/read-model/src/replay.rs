//! Which replay applies which part of the journal.

use schemas::EventId;
use sqlx::PgConnection;

/// Lets this transaction apply the batch that begins with this event, unless another one does. The lock ends with the transaction. It only
/// saves work: each event also has a lock of its own.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_batch(transaction: &mut PgConnection, first: EventId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('dbt-api replay ' || current_schema() || ' ' || $1::uuid, 0))
         AS "is_mine!""#,
        first.0
    )
    .fetch_one(transaction)
    .await
}
