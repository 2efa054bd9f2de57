//! Queries for what an account or an environment looks like now. The number of statements does not depend on the number of jobs or nodes.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId};
use sqlx::{FromRow, PgConnection};

/// A job of an environment with one of its newest runs.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct StripRun {
    /// The job's number.
    pub job_id: i64,
    /// Airflow's id of the DAG, or `None` for the job of uploads whose DAG is not known.
    pub dag_id: Option<String>,
    /// The schedule on which Airflow starts the job.
    pub cron: Option<String>,
    /// The run's number. `None` if the job has no runs; so are then all following fields.
    pub run_id: Option<i64>,
    /// dbt Cloud's number for the status.
    pub status: Option<i16>,
    /// When the first upload of the run was accepted.
    pub created_at: Option<DateTime<Utc>>,
    /// When the first step started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last step ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The number of jobs of the environment.
    pub jobs: i64,
}

/// Returns the jobs of an environment that were updated last, at most `jobs` of them, each with its newest runs, at most `runs` of them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn strips(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    jobs: i64,
    runs: i64,
) -> sqlx::Result<Vec<StripRun>> {
    sqlx::query_as!(
        StripRun,
        r#"SELECT j.id AS job_id, j.dag_id, j.cron, r.id AS "run_id?", r.status AS "status?", r.created_at AS "created_at?", r.started_at,
            r.finished_at, j.jobs AS "jobs!"
         FROM (
            SELECT id, dag_id, cron, updated_at, count(*) OVER () AS jobs FROM jobs WHERE account_id = $1 AND environment_id = $2
            ORDER BY updated_at DESC, id DESC LIMIT $3
         ) j
         LEFT JOIN LATERAL (
            SELECT id, status, created_at, started_at, finished_at FROM runs WHERE account_id = $1 AND job_id = j.id
            ORDER BY id DESC LIMIT $4
         ) r ON true
         ORDER BY j.updated_at DESC, j.id DESC, r.id DESC"#,
        account.0,
        environment.0,
        jobs,
        runs
    )
    .fetch_all(connection)
    .await
}

/// How the jobs of an environment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCounts {
    /// The environment's number.
    pub environment_id: i64,
    /// The number of jobs.
    pub jobs: i64,
    /// The number of jobs whose last run failed, of those that ended.
    pub failed: i64,
    /// When the last run ended.
    pub last_finished_at: Option<DateTime<Utc>>,
}

/// Returns how the jobs of each environment of an account did, for environments with jobs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn job_counts(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<JobCounts>> {
    // 20 is `RunStatus::Error`.
    sqlx::query_as!(
        JobCounts,
        r#"SELECT j.environment_id, count(*) AS "jobs!", count(*) FILTER (WHERE r.status = 20) AS "failed!",
            max(r.finished_at) AS last_finished_at
         FROM jobs j
         LEFT JOIN LATERAL (
            SELECT status, finished_at FROM runs WHERE account_id = $1 AND job_id = j.id AND finished_at IS NOT NULL
            ORDER BY finished_at DESC NULLS LAST, id DESC LIMIT 1
         ) r ON true
         WHERE j.account_id = $1 GROUP BY j.environment_id"#,
        account.0
    )
    .fetch_all(connection)
    .await
}

/// A manifest of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestOfRun {
    /// The run that has the manifest.
    pub run_id: i64,
    /// When dbt wrote the manifest.
    pub done_at: DateTime<Utc>,
}

/// Returns the newest manifest of a run in an environment, and the newest one of the same dbt project that dbt wrote no later than `before`.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn manifests_around(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    before: DateTime<Utc>,
) -> sqlx::Result<Option<(ManifestOfRun, ManifestOfRun)>> {
    let row = sqlx::query!(
        r#"SELECT n.run_id AS "new_run!", n.done_at AS new_done_at, o.run_id AS "old_run!", o.done_at AS old_done_at
         FROM (
            SELECT run_id, done_at, dbt_project FROM artifacts
            WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND run_id IS NOT NULL
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) n
         CROSS JOIN LATERAL (
            SELECT run_id, done_at FROM artifacts
            WHERE account_id = $1 AND environment_id = $2 AND kind = 'manifest' AND run_id IS NOT NULL AND NOT pruned
                AND md5(dbt_project) = md5(n.dbt_project) AND dbt_project = n.dbt_project AND done_at <= $3
            ORDER BY done_at DESC, event_id DESC, place DESC LIMIT 1
         ) o"#,
        account.0,
        environment.0,
        before
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let new = ManifestOfRun {
            run_id: row.new_run,
            done_at: row.new_done_at,
        };
        let old = ManifestOfRun {
            run_id: row.old_run,
            done_at: row.old_done_at,
        };
        (new, old)
    }))
}
