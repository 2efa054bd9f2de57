//! The results of nodes: of their last attempts and last successes.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// An attempt at a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// dbt's id of the node.
    pub unique_id: String,
    /// Whether the attempt made what the node is for.
    pub is_success: bool,
    /// The status in lower case.
    pub status: String,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// When dbt wrote the file.
    pub generated_at: Option<DateTime<Utc>>,
    /// The duration of the command, in seconds.
    pub elapsed_time: f64,
    /// dbt's id of the command.
    pub invocation_id: Option<String>,
    /// The first run that reported the attempt.
    pub run_id: Option<i64>,
    /// The job of this run.
    pub job_id: Option<i64>,
    /// The result, to be read with [`crate::doc::decode_doc`].
    pub doc: Vec<u8>,
}

/// Returns the last attempts of these nodes in an environment, the newer first: of each node the last success and the last attempt that was
/// none. For a test, also the last attempt that was neither a success nor a skip, which may repeat the second row.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn outcomes(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<Outcome>> {
    sqlx::query_as!(
        Outcome,
        r#"SELECT n.unique_id AS "unique_id!", n.is_success AS "is_success!", n.status AS "status!", n.at AS "at!", n.doc AS "doc!",
            f.elapsed_time, a.done_at AS "generated_at?", a.invocation_id AS "invocation_id?", a.run_id AS "run_id?",
            r.job_id AS "job_id?"
         FROM unnest($3::text[]) AS u (unique_id)
         CROSS JOIN LATERAL (
            (SELECT r.unique_id, r.is_success, r.status, r.at, r.sha256, r.place, r.doc FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
             ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1)
            UNION ALL
            (SELECT r.unique_id, r.is_success, r.status, r.at, r.sha256, r.place, r.doc FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
             ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1)
            UNION ALL
            (SELECT r.unique_id, r.is_success, r.status, r.at, r.sha256, r.place, r.doc FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success
                AND r.status NOT IN ('skipped', 'no-op', 'reused') AND (u.unique_id LIKE 'test.%' OR u.unique_id LIKE 'unit\_test.%')
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id
             ORDER BY r.at DESC, r.sha256 DESC, r.place DESC LIMIT 1)
         ) n
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
        unique_ids
    )
    .fetch_all(connection)
    .await
}

/// Returns the last attempts of all nodes in a run, the newer first: of each node the last success, the last skip, and the last
/// attempt that was neither.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn outcomes_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Vec<Outcome>> {
    sqlx::query_as!(
        Outcome,
        r#"WITH files AS (
            SELECT DISTINCT ON (a.environment_id, a.sha256) a.environment_id, a.sha256, a.done_at, a.invocation_id, a.run_id
            FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $2
            ORDER BY a.environment_id, a.sha256, a.event_time, a.event_id
         ), last AS (
            SELECT DISTINCT ON (n.unique_id, n.is_success, n.status IN ('skipped', 'no-op', 'reused')) n.unique_id, n.is_success, n.status, n.at, n.doc, n.sha256, n.place,
                n.environment_id, a.done_at, a.invocation_id, a.run_id
            FROM files a JOIN node_results n ON n.account_id = $1 AND n.environment_id = a.environment_id AND n.sha256 = a.sha256
            WHERE n.is_attempt
            ORDER BY n.unique_id, n.is_success, n.status IN ('skipped', 'no-op', 'reused'), n.at DESC, n.sha256 DESC, n.place DESC
         )
         SELECT l.unique_id, l.is_success, l.status, l.at, l.doc, f.elapsed_time, l.done_at AS "generated_at?", l.invocation_id,
            l.run_id, r.job_id AS "job_id?"
         FROM last l
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = l.environment_id AND f.sha256 = l.sha256
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = l.run_id
         ORDER BY l.at DESC, l.sha256 DESC, l.place DESC"#,
        account.0,
        run.0
    )
    .fetch_all(connection)
    .await
}
