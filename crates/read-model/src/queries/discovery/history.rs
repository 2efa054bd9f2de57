//! The attempts at a node over time.

use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;

use super::Outcome;

/// Returns the newest attempts at a node in an environment, the newest first.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn attempts_of_node(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_id: &str,
    limit: i64,
) -> sqlx::Result<Vec<Outcome>> {
    sqlx::query_as!(
        Outcome,
        r#"WITH newest AS (
            SELECT r.unique_id, r.is_success, r.status, r.at, r.sha256, r.place, r.doc FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt
                AND md5(r.unique_id) = md5($3) AND r.unique_id = $3
            ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT $4
         )
         SELECT n.unique_id, n.is_success, n.status, n.at, n.doc, f.elapsed_time, a.done_at AS "generated_at?",
            a.invocation_id AS "invocation_id?", a.run_id AS "run_id?", r.job_id AS "job_id?"
         FROM newest n
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = n.sha256
         LEFT JOIN LATERAL (
            SELECT a.run_id, a.done_at, a.invocation_id FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
            ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
         ORDER BY n.at DESC, n.sha256 DESC, n.place DESC"#,
        account.0,
        environment.0,
        unique_id,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Returns the last attempts of these nodes in each of these runs, the newer first.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn results_in_runs(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    runs: &[i64],
    unique_ids: &[String],
) -> sqlx::Result<Vec<Outcome>> {
    sqlx::query_as!(
        Outcome,
        r#"WITH files AS (
            SELECT DISTINCT a.run_id, a.sha256, a.done_at, a.invocation_id FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.run_id = ANY($3) AND a.kind = 'run_results'
         )
         SELECT DISTINCT ON (a.run_id, n.unique_id) n.unique_id, n.is_success, n.status, n.at, n.doc, f.elapsed_time,
            a.done_at AS "generated_at?", a.invocation_id, a.run_id, r.job_id AS "job_id?"
         FROM files a
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = a.sha256
         JOIN node_results n ON n.account_id = $1 AND n.environment_id = $2 AND n.sha256 = a.sha256 AND n.is_attempt
            AND n.unique_id = ANY($4)
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
         ORDER BY a.run_id, n.unique_id, n.at DESC, n.sha256 DESC, n.place DESC"#,
        account.0,
        environment.0,
        runs,
        unique_ids
    )
    .fetch_all(connection)
    .await
}
