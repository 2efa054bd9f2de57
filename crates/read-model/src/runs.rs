//! Derives runs and jobs from steps, files and observations of Airflow.

use schemas::{AccountId, EnvironmentId, JobId, ProjectId, RunId};
use sqlx::PgConnection;

use crate::failures::failures_of_run;
use crate::ids::RunKey;

/// A run and the records that it belongs to.
#[derive(Clone, Debug)]
pub struct RunParents<'a> {
    /// The run.
    pub run_id: RunId,
    /// The job of the run.
    pub job_id: JobId,
    /// The account of the run.
    pub account_id: AccountId,
    /// The project of the environment.
    pub project_id: ProjectId,
    /// The environment of the run.
    pub environment_id: EnvironmentId,
    /// The key that identifies the run.
    pub key: &'a RunKey,
}

/// Recomputes a run from its steps, its files and Airflow's observation, and updates its job.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn refresh_run(transaction: &mut PgConnection, run: &RunParents<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, dbt_version,
            created_at, updated_at, started_at, finished_at)
         SELECT $2, $1, $3, $4, $5, $6, $7, 10, NULL, min(t.created_at), max(t.updated_at), NULL, NULL
         FROM (
            SELECT created_at, updated_at FROM run_steps WHERE account_id = $1 AND run_id = $2
            UNION ALL
            SELECT created_at, event_time FROM airflow_runs
            WHERE environment_id = $4 AND hashtextextended(run_id, 0) = hashtextextended($7, 0) AND run_id = $7 AND dag_id = $6
                AND NOT pruned
         ) t HAVING count(*) > 0
         ON CONFLICT (id) DO NOTHING",
        run.account_id.0,
        run.run_id.0,
        run.project_id.0,
        run.environment_id.0,
        run.job_id.0,
        run.key.dag_id,
        run.key.run_id
    )
    .execute(&mut *transaction)
    .await?;
    sum_up_run(transaction, run.account_id, run.run_id).await?;
    sqlx::query!(
        "INSERT INTO jobs AS j (id, account_id, project_id, environment_id, dag_id, created_at, updated_at)
         SELECT job_id, account_id, project_id, environment_id, dag_id, created_at, updated_at FROM runs
         WHERE account_id = $1 AND id = $2
         ON CONFLICT (id) DO UPDATE SET created_at = least(j.created_at, excluded.created_at),
            updated_at = greatest(j.updated_at, excluded.updated_at)",
        run.account_id.0,
        run.run_id.0
    )
    .execute(&mut *transaction)
    .await?;
    refresh_schedule(transaction, run.account_id, run.job_id.0).await
}

/// Sets the schedule of a job to the one that Airflow reported last.
async fn refresh_schedule(transaction: &mut PgConnection, account: AccountId, job: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs j SET cron = (
            SELECT cron FROM airflow_runs o
            WHERE o.environment_id = j.environment_id AND hashtextextended(o.dag_id, 0) = hashtextextended(j.dag_id, 0)
                AND o.dag_id = j.dag_id AND NOT o.pruned
            ORDER BY o.event_time DESC, o.event_id DESC LIMIT 1)
         WHERE j.account_id = $1 AND j.id = $2 AND j.dag_id IS NOT NULL",
        account.0,
        job
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Summarizes a run from its steps, its files and Airflow's observation. Airflow's status and times take precedence. Without them, a run
/// failed if it has a failure that was not resolved: a task that is retried and then passes is a success.
///
/// Others may defer to the manifest of a run whose work on nodes succeeded, regardless of Airflow, docs and the freshness of sources. A run
/// without such work qualifies if it is a success. A success that is known to have done no such work ranks lower, since the nodes in its
/// manifest may never have been built.
async fn sum_up_run(transaction: &mut PgConnection, account: AccountId, run: RunId) -> sqlx::Result<()> {
    let failures = failures_of_run(transaction, account, run).await?;
    sqlx::query!(
        "UPDATE runs u SET (status, deferral_rank, dbt_version, created_at, updated_at, started_at, finished_at) = (
            SELECT coalesce(o.status, CASE WHEN $3 THEN 20 ELSE 10 END),
                CASE WHEN bool_or(s.touches_nodes) THEN CASE WHEN $4 THEN 3 ELSE 1 END
                    WHEN coalesce(o.status, CASE WHEN $3 THEN 20 ELSE 10 END) <> 10 THEN 3
                    WHEN bool_and(s.which IS NOT NULL) THEN 2
                    ELSE 1 END,
                (array_agg(s.dbt_version ORDER BY s.dbt_version IS NULL, s.updated_at DESC, s.id DESC))[1],
                least(o.created_at, min(s.created_at)), greatest(o.event_time, max(s.updated_at)),
                CASE WHEN o.status IS NULL THEN min(s.started_at) ELSE o.started_at END,
                CASE WHEN o.status IS NULL THEN max(s.finished_at)
                    -- An end that Airflow does not tell was before it was seen.
                    WHEN o.status >= 10 THEN coalesce(o.finished_at, o.event_time)
                    ELSE o.finished_at END
            FROM (SELECT) AS one
                LEFT JOIN run_steps s ON s.account_id = $1 AND s.run_id = $2
                LEFT JOIN airflow_runs o ON o.environment_id = u.environment_id AND o.run_id = u.airflow_run_id
                    AND hashtextextended(o.run_id, 0) = hashtextextended(u.airflow_run_id, 0) AND o.dag_id = u.dag_id AND NOT o.pruned
            GROUP BY o.status, o.created_at, o.event_time, o.started_at, o.finished_at),
            kinds = ARRAY(SELECT DISTINCT a.kind FROM artifacts a WHERE a.account_id = $1 AND a.run_id = $2 ORDER BY a.kind)
         WHERE u.account_id = $1 AND u.id = $2",
        account.0,
        run.0,
        failures.any,
        failures.of_work
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Recomputes a run and its job after files or Airflow's observation were removed from the run, and deletes them if they are empty.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn shrink_run(transaction: &mut PgConnection, account: AccountId, run: RunId) -> sqlx::Result<()> {
    let job = sqlx::query_scalar!(
        "SELECT job_id FROM runs WHERE account_id = $1 AND id = $2",
        account.0,
        run.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM runs r WHERE account_id = $1 AND id = $2
            AND NOT EXISTS (SELECT FROM run_steps WHERE account_id = $1 AND run_id = $2)
            AND NOT EXISTS (SELECT FROM airflow_runs o
                WHERE o.environment_id = r.environment_id AND o.run_id = r.airflow_run_id AND o.dag_id = r.dag_id AND NOT o.pruned
                    AND hashtextextended(o.run_id, 0) = hashtextextended(r.airflow_run_id, 0))",
        account.0,
        run.0
    )
    .execute(&mut *transaction)
    .await?;
    sum_up_run(transaction, account, run).await?;
    let Some(job) = job else { return Ok(()) };
    sqlx::query!(
        "DELETE FROM jobs WHERE account_id = $1 AND id = $2
            AND NOT EXISTS (SELECT FROM runs WHERE account_id = $1 AND job_id = $2)",
        account.0,
        job
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE jobs j SET (created_at, updated_at) =
            (SELECT min(created_at), max(updated_at) FROM runs WHERE account_id = $1 AND job_id = $2)
         WHERE j.account_id = $1 AND j.id = $2",
        account.0,
        job
    )
    .execute(&mut *transaction)
    .await?;
    refresh_schedule(transaction, account, job).await
}
