//! Who packs past hours of the journal.

use sqlx::PgConnection;

/// Lets this transaction pack the journal, unless another one does. The lock ends with the transaction.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_packing(transaction: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended('dbt-api pack', 0)) AS "is_mine!""#)
        .fetch_one(transaction)
        .await
}
