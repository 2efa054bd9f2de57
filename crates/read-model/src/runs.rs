//! Derives runs and jobs from steps, files and observations of Airflow.

use schemas::{AccountId, EnvironmentId, JobId, ProjectId, RunId, RunStatus};
use sqlx::PgConnection;

use crate::failures::failures_of_run;
use crate::ids::RunKey;
use crate::steps::runs_with_failed_step;

/// A run and the records that it belongs to.
#[derive(Clone, Debug)]
pub struct RunParents {
    /// Its number, unique across all accounts.
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
    pub key: RunKey,
}

/// Recomputes runs from their steps, their files and Airflow's observations, and updates their jobs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn refresh_runs(transaction: &mut PgConnection, runs: &[RunParents]) -> sqlx::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    insert_runs(transaction, runs).await?;
    let ids: Vec<(AccountId, RunId)> = runs.iter().map(|run| (run.account_id, run.run_id)).collect();
    sum_up_runs(transaction, &ids).await?;
    let (accounts, runs): (Vec<i64>, Vec<i64>) = ids.iter().map(|(account, run)| (account.0, run.0)).unzip();
    let jobs = sqlx::query!(
        r#"INSERT INTO jobs AS j (id, account_id, project_id, environment_id, dag_id, created_at, updated_at)
         SELECT r.job_id, r.account_id, r.project_id, r.environment_id, r.dag_id, min(r.created_at), max(r.updated_at)
         FROM unnest($1::bigint[], $2::bigint[]) AS u (account_id, id) JOIN runs r ON r.account_id = u.account_id AND r.id = u.id
         GROUP BY r.job_id, r.account_id, r.project_id, r.environment_id, r.dag_id
         ON CONFLICT (id, account_id) DO UPDATE SET created_at = least(j.created_at, excluded.created_at),
            updated_at = greatest(j.updated_at, excluded.updated_at)
         RETURNING j.account_id, j.id"#,
        &accounts,
        &runs
    )
    .fetch_all(&mut *transaction)
    .await?;
    let jobs: Vec<(AccountId, JobId)> = jobs
        .into_iter()
        .map(|row| (AccountId(row.account_id), JobId(row.id)))
        .collect();
    refresh_schedules(transaction, &jobs).await
}

/// Inserts the runs that are new and have a step or an observation. Their contents are set later.
async fn insert_runs(transaction: &mut PgConnection, runs: &[RunParents]) -> sqlx::Result<()> {
    let accounts: Vec<i64> = runs.iter().map(|run| run.account_id.0).collect();
    let ids: Vec<i64> = runs.iter().map(|run| run.run_id.0).collect();
    let projects: Vec<i64> = runs.iter().map(|run| run.project_id.0).collect();
    let environments: Vec<i64> = runs.iter().map(|run| run.environment_id.0).collect();
    let jobs: Vec<i64> = runs.iter().map(|run| run.job_id.0).collect();
    let dags: Vec<Option<&str>> = runs.iter().map(|run| run.key.dag_id.as_deref()).collect();
    let airflow_runs: Vec<Option<&str>> = runs.iter().map(|run| run.key.run_id.as_deref()).collect();
    sqlx::query!(
        "INSERT INTO runs (id, account_id, project_id, environment_id, job_id, dag_id, airflow_run_id, status, dbt_version,
            created_at, updated_at, started_at, finished_at)
         SELECT u.id, u.account_id, u.project_id, u.environment_id, u.job_id, u.dag_id, u.run_id, 10, NULL, t.created_at, t.updated_at,
            NULL, NULL
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
            AS u (account_id, id, project_id, environment_id, job_id, dag_id, run_id)
         CROSS JOIN LATERAL (
            SELECT min(created_at) AS created_at, max(updated_at) AS updated_at FROM (
                SELECT created_at, updated_at FROM run_steps WHERE account_id = u.account_id AND run_id = u.id
                UNION ALL
                SELECT created_at, event_time FROM airflow_runs
                WHERE environment_id = u.environment_id AND hashtextextended(run_id, 0) = hashtextextended(u.run_id, 0)
                    AND run_id = u.run_id AND dag_id = u.dag_id AND NOT pruned
            ) parts HAVING count(*) > 0
         ) t
         ON CONFLICT (id, account_id) DO NOTHING",
        &accounts,
        &ids,
        &projects,
        &environments,
        &jobs,
        &dags as &[Option<&str>],
        &airflow_runs as &[Option<&str>]
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Sets the schedules of jobs to the ones that Airflow reported last.
async fn refresh_schedules(transaction: &mut PgConnection, jobs: &[(AccountId, JobId)]) -> sqlx::Result<()> {
    let (accounts, ids): (Vec<i64>, Vec<i64>) = jobs.iter().map(|(account, job)| (account.0, job.0)).unzip();
    sqlx::query!(
        "UPDATE jobs j SET cron = (
            SELECT cron FROM airflow_runs o
            WHERE o.environment_id = j.environment_id AND hashtextextended(o.dag_id, 0) = hashtextextended(j.dag_id, 0)
                AND o.dag_id = j.dag_id AND NOT o.pruned
            ORDER BY o.event_time DESC, o.event_id DESC LIMIT 1)
         FROM unnest($1::bigint[], $2::bigint[]) AS u (account_id, id)
         WHERE j.account_id = u.account_id AND j.id = u.id AND j.dag_id IS NOT NULL",
        &accounts,
        &ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Summarizes runs from their steps, their files and Airflow's observations. Airflow's status and times take precedence. Without them, a run
/// failed if it has a failure that was not resolved: a task that is retried and then passes is a success.
///
/// Others may defer to the manifest of a run whose work on nodes succeeded, regardless of Airflow, docs and the freshness of sources. A run
/// without such work qualifies if it is a success. A success that is known to have done no such work ranks lower, since the nodes in its
/// manifest may never have been built.
async fn sum_up_runs(transaction: &mut PgConnection, runs: &[(AccountId, RunId)]) -> sqlx::Result<()> {
    let with_failed_step = runs_with_failed_step(transaction, runs).await?;
    let (mut have_failed, mut have_failed_work) = (Vec::new(), Vec::new());
    for run in runs {
        let (any, of_work) = if with_failed_step.contains(run) {
            let failures = failures_of_run(transaction, run.0, run.1).await?;
            (failures.any, failures.of_work)
        } else {
            (false, false)
        };
        have_failed.push(any);
        have_failed_work.push(of_work);
    }
    let (accounts, ids): (Vec<i64>, Vec<i64>) = runs.iter().map(|(account, run)| (account.0, run.0)).unzip();
    sqlx::query!(
        "UPDATE runs u SET (status, deferral_rank, dbt_version, created_at, updated_at, started_at, finished_at) = (
            SELECT coalesce(o.status, CASE WHEN f.has_failed THEN $5::smallint ELSE $6::smallint END),
                CASE WHEN bool_or(s.touches_nodes) THEN CASE WHEN f.has_failed_work THEN 3 ELSE 1 END
                    WHEN coalesce(o.status, CASE WHEN f.has_failed THEN $5 ELSE $6 END) <> $6 THEN 3
                    WHEN bool_and(s.which IS NOT NULL) THEN 2
                    ELSE 1 END,
                (array_agg(s.dbt_version ORDER BY s.dbt_version IS NULL, s.updated_at DESC, s.id DESC))[1],
                least(o.created_at, min(s.created_at)), greatest(o.event_time, max(s.updated_at)),
                CASE WHEN o.status IS NULL THEN min(s.started_at) ELSE o.started_at END,
                CASE WHEN o.status IS NULL THEN max(s.finished_at)
                    -- Airflow did not report the end: it was before this was seen.
                    WHEN o.status >= $6 THEN coalesce(o.finished_at, o.event_time)
                    ELSE o.finished_at END
            FROM (SELECT) AS one
                LEFT JOIN run_steps s ON s.account_id = u.account_id AND s.run_id = u.id
                LEFT JOIN airflow_runs o ON o.environment_id = u.environment_id AND o.run_id = u.airflow_run_id
                    AND hashtextextended(o.run_id, 0) = hashtextextended(u.airflow_run_id, 0) AND o.dag_id = u.dag_id AND NOT o.pruned
            GROUP BY o.status, o.created_at, o.event_time, o.started_at, o.finished_at),
            kinds = ARRAY(SELECT DISTINCT a.kind FROM artifacts a WHERE a.account_id = u.account_id AND a.run_id = u.id ORDER BY a.kind)
         FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::boolean[]) AS f (account_id, id, has_failed, has_failed_work)
         WHERE u.account_id = f.account_id AND u.id = f.id",
        &accounts,
        &ids,
        &have_failed,
        &have_failed_work,
        RunStatus::Error.number(),
        RunStatus::Success.number()
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
    sum_up_runs(transaction, &[(account, run)]).await?;
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
    refresh_schedules(transaction, &[(account, JobId(job))]).await
}
