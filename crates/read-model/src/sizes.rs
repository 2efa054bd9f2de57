//! How much each account has, for operators.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

/// What an account has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeOfAccount {
    /// The number of the account.
    pub account_id: i64,
    /// How many different contents of files it has. The bucket stores each once.
    pub contents: i64,
    /// Their size as uploaded, in bytes. The bucket stores them compressed.
    pub bytes: i64,
    /// How many runs it has.
    pub runs: i64,
    /// How many of them ended before the time.
    pub old_runs: i64,
    /// The size as uploaded of the contents that only artifacts of these have, in bytes.
    pub old_bytes: i64,
}

/// Returns what each account with uploads has, ordered by account. `before` decides which runs are old. The query reads all artifacts, files and
/// runs once.
///
/// # Errors
/// Returns an error if the query fails, or takes longer than the connection allows.
pub async fn sizes(connection: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<Vec<SizeOfAccount>> {
    sqlx::query_as!(
        SizeOfAccount,
        r#"WITH of_run AS (
            SELECT id, account_id, coalesce(finished_at, updated_at) < $1 AS is_old FROM runs
        ), content AS (
            SELECT account_id, sha256, max(size) AS size, bool_and(is_old) AS is_old FROM (
                SELECT a.account_id, a.sha256, a.size, coalesce(r.is_old, false) AS is_old
                FROM artifacts a LEFT JOIN of_run r ON r.account_id = a.account_id AND r.id = a.run_id
                UNION ALL
                SELECT account_id, sha256, size, false FROM files
            ) f GROUP BY account_id, sha256
        ), of_contents AS (
            SELECT account_id, count(*) AS contents, sum(size)::bigint AS bytes, coalesce(sum(size) FILTER (WHERE is_old), 0)::bigint AS old_bytes
            FROM content GROUP BY account_id
        ), of_runs AS (
            SELECT account_id, count(*) AS runs, count(*) FILTER (WHERE is_old) AS old_runs FROM of_run GROUP BY account_id
        )
        SELECT coalesce(c.account_id, r.account_id) AS "account_id!", coalesce(c.contents, 0) AS "contents!", coalesce(c.bytes, 0) AS "bytes!",
            coalesce(r.runs, 0) AS "runs!", coalesce(r.old_runs, 0) AS "old_runs!", coalesce(c.old_bytes, 0) AS "old_bytes!"
        FROM of_contents c FULL JOIN of_runs r ON r.account_id = c.account_id ORDER BY 1"#,
        before
    )
    .fetch_all(connection)
    .await
}

/// Returns the size of the database on its disk, in bytes.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn database_size(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT pg_database_size(current_database()) AS "size!""#)
        .fetch_one(connection)
        .await
}
