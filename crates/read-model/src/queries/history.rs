//! What happened to one node over time.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

/// An attempt at a node, or a check of its freshness.
#[derive(Clone, Debug, PartialEq)]
pub struct PastResult {
    /// The status in lower case.
    pub status: String,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// For a test: how many rows failed.
    pub failures: Option<i64>,
    /// The first run that reported it.
    pub run_id: Option<i64>,
    /// The step of this run.
    pub step_id: Option<i64>,
}

/// Returns the newest attempts at a node in an environment or in one of its runs, the newest first. With `of_freshness`, returns the checks of
/// its freshness instead.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn history(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    run: Option<RunId>,
    (unique_id, of_freshness): (&str, bool),
    limit: i64,
) -> sqlx::Result<Vec<PastResult>> {
    // Each index has its own branch. That of attempts groups them by success.
    sqlx::query_as!(
        PastResult,
        r#"WITH newest AS (
            (SELECT status, at, execution_time, failures, sha256, place FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success AND NOT $5
                AND md5(r.unique_id) = md5($4) AND r.unique_id = $4
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
             ORDER BY r.at DESC LIMIT $6)
            UNION ALL
            (SELECT status, at, execution_time, failures, sha256, place FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND NOT r.is_success AND NOT $5
                AND md5(r.unique_id) = md5($4) AND r.unique_id = $4
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
             ORDER BY r.at DESC LIMIT $6)
            UNION ALL
            (SELECT status, at, execution_time, failures, sha256, place FROM node_results r
             WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_freshness AND $5
                AND md5(r.unique_id) = md5($4) AND r.unique_id = $4
                AND ($3::bigint IS NULL OR EXISTS (
                    SELECT FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $3 AND a.sha256 = r.sha256))
             ORDER BY r.at DESC LIMIT $6)
         )
         SELECT n.status AS "status!", n.at AS "at!", n.execution_time, n.failures, a.run_id AS "run_id?", a.step_id AS "step_id?"
         FROM (SELECT * FROM newest ORDER BY at DESC, sha256 DESC, place DESC LIMIT $6) n
         LEFT JOIN LATERAL (
            SELECT a.run_id, a.step_id FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256 AND a.run_id IS NOT NULL
                AND ($3::bigint IS NULL OR a.run_id = $3)
            ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true
         ORDER BY n.at DESC, n.sha256 DESC, n.place DESC"#,
        account.0,
        environment.0,
        run.map(|run| run.0),
        unique_id,
        of_freshness,
        limit
    )
    .fetch_all(connection)
    .await
}
