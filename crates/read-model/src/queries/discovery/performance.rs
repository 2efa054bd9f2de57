//! How long nodes took, and how often they failed.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;

/// An attempt at a node that was not skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// Whether the attempt went well.
    pub has_passed: bool,
    /// When the node was completed.
    pub at: DateTime<Utc>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// The first run that reported the attempt.
    pub run_id: Option<i64>,
    /// When this run started.
    pub run_started_at: Option<DateTime<Utc>>,
    /// The job of this run.
    pub job_id: Option<i64>,
    /// Airflow's id of the job's DAG.
    pub dag_id: Option<String>,
    /// How many executions match, up to one more than the limit.
    pub matching: i64,
}

/// Returns the executions of nodes of these resource types in a period, or of one node if `unique_id` is given, the oldest first. If
/// there are more than `limit`, only the first is returned.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn executions(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    resource_types: &[String],
    unique_id: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Execution>> {
    sqlx::query_as!(
        Execution,
        r#"WITH files AS (
            SELECT DISTINCT ON (a.sha256) a.sha256, a.run_id FROM artifacts a
            WHERE a.account_id = $1 AND a.environment_id = $2 AND a.kind = 'run_results' AND a.run_id IS NOT NULL
            ORDER BY a.sha256, a.event_time, a.event_id
         ), found AS MATERIALIZED (
            SELECT n.unique_id, n.status, n.has_passed, n.at, n.execution_time, f.run_id
            FROM files f
            JOIN node_results n ON n.account_id = $1 AND n.environment_id = $2 AND n.sha256 = f.sha256
            WHERE n.is_attempt AND n.status NOT IN ('skipped', 'no-op', 'reused') AND n.at >= $3 AND n.at < $4
               AND split_part(n.unique_id, '.', 1) = ANY($5) AND ($6::text IS NULL OR n.unique_id = $6)
            LIMIT $7::bigint + 1
         ), counted AS (SELECT count(*) AS matching FROM found)
         SELECT f.unique_id, f.status, f.has_passed, f.at, f.execution_time, f.run_id, r.started_at AS "run_started_at?",
            r.job_id AS "job_id?", r.dag_id AS "dag_id?", c.matching AS "matching!"
         FROM found f
         CROSS JOIN counted c
         LEFT JOIN runs r ON r.account_id = $1 AND r.id = f.run_id
         ORDER BY f.at, f.unique_id LIMIT (SELECT CASE WHEN matching > $7 THEN 1 ELSE $7 END FROM counted)"#,
        account.0,
        environment.0,
        from,
        to,
        resource_types,
        unique_id,
        limit
    )
    .fetch_all(connection)
    .await
}
