//! Which run and step each file belongs to, and what follows for runs, steps and jobs.

use schemas::{AccountId, EnvironmentId, EventId, JobId, ProjectId, RunId, Sha256, StepId};
use sqlx::PgConnection;

use crate::{Artifact, RunKey};

/// A file with the run and step that it belongs to at present.
#[derive(Clone, Debug)]
pub struct Placed {
    /// What its event tells.
    pub artifact: Artifact,
    /// None: it belongs to no run, or was not placed yet.
    pub run_id: Option<RunId>,
    /// As `run_id`.
    pub step_id: Option<StepId>,
}

/// Keeps others from placing files of this environment until the transaction ends.
///
/// # Errors
/// Those of the database.
pub async fn lock_placement(transaction: &mut PgConnection, environment: EnvironmentId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api placement', $1))",
        environment.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The runs and steps in which these files are, by whichever upload.
///
/// # Errors
/// Those of the database.
pub async fn places_of_files(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    files: &[Sha256],
) -> sqlx::Result<Vec<(RunId, StepId)>> {
    let hashes: Vec<Vec<u8>> = files.iter().map(|hash| hash.0.to_vec()).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT run_id AS "run_id!", step_id AS "step_id!" FROM artifacts
         WHERE account_id = $1 AND environment_id = $2 AND sha256 = ANY($3::bytea[]) AND run_id IS NOT NULL AND step_id IS NOT NULL"#,
        account.0,
        environment.0,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (RunId(row.run_id), StepId(row.step_id)))
        .collect())
}

/// The earlier files whose place may follow from what is now known: those without a DAG of the runs whose DAG was told, those without
/// a run id of the invocations whose run was told, and those without a run id whose tag begins with that of a run that was told of.
///
/// # Errors
/// Those of the database.
pub async fn unplaced_alike(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    runs_with_dag: &[String],
    invocations_with_run: &[String],
    runs: &[String],
) -> sqlx::Result<Vec<Placed>> {
    let rows = sqlx::query!(
        r#"SELECT event_id AS "event_id!", place AS "place!", event_time AS "event_time!", dag_id, airflow_run_id, tag,
            invocation_id, run_id, step_id, pruned AS "pruned!"
         FROM artifacts
         WHERE environment_id = $1
            AND ((hashtextextended(airflow_run_id, 0) = ANY(ARRAY(SELECT hashtextextended(u.id, 0) FROM unnest($2::text[]) AS u (id)))
                    AND airflow_run_id = ANY($2) AND dag_id IS NULL)
                OR (airflow_run_id IS NULL AND invocation_id = ANY($3)))
         UNION
         SELECT a.event_id, a.place, a.event_time, a.dag_id, a.airflow_run_id, a.tag, a.invocation_id, a.run_id, a.step_id, a.pruned
         FROM unnest($4::text[]) AS r (id) JOIN artifacts a
            ON a.environment_id = $1 AND a.airflow_run_id IS NULL AND starts_with(a.tag, r.id || '-')
                AND left(a.tag, 250) COLLATE "C" >= left(r.id || '-', 250)
                AND left(a.tag, 250) COLLATE "C" < left(r.id || '-', 250) || chr(1114111)"#,
        environment.0,
        runs_with_dag,
        invocations_with_run,
        runs
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Placed {
            artifact: Artifact {
                event_id: EventId(row.event_id),
                place: row.place,
                event_time: row.event_time,
                dag_id: row.dag_id,
                run_id: row.airflow_run_id,
                tag: row.tag,
                invocation_id: row.invocation_id,
                pruned: row.pruned,
            },
            run_id: row.run_id.map(RunId),
            step_id: row.step_id.map(StepId),
        })
        .collect())
}

/// The run that a file belongs to, from all that is known of its environment; none for what is tagged `latest-…`.
///
/// # Errors
/// Those of the database.
pub async fn key_of_run(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    artifact: &Artifact,
) -> sqlx::Result<Option<RunKey>> {
    if let Some(run_id) = &artifact.run_id {
        let dag_id = match &artifact.dag_id {
            Some(dag) => Some(dag.clone()),
            None => only_dag(connection, environment, run_id).await?,
        };
        return Ok(Some(RunKey {
            dag_id,
            run_id: Some(run_id.clone()),
            ..RunKey::default()
        }));
    }
    if let Some(tag) = artifact.tag.as_deref() {
        if tag.starts_with("latest-") {
            return Ok(None);
        }
        if let Some(run_id) = run_of_tag(connection, environment, tag).await? {
            let dag_id = match &artifact.dag_id {
                Some(dag) => Some(dag.clone()),
                None => only_dag(connection, environment, &run_id).await?,
            };
            return Ok(Some(RunKey {
                dag_id,
                run_id: Some(run_id),
                ..RunKey::default()
            }));
        }
    }
    let Some(invocation_id) = &artifact.invocation_id else {
        return Ok(Some(RunKey {
            dag_id: artifact.dag_id.clone(),
            event_id: Some(artifact.event_id),
            ..RunKey::default()
        }));
    };
    let told = sqlx::query!(
        r#"SELECT dag_id, airflow_run_id AS "run_id!" FROM artifacts
         WHERE environment_id = $1 AND invocation_id = $2 AND airflow_run_id IS NOT NULL
         ORDER BY event_time, event_id, place LIMIT 1"#,
        environment.0,
        invocation_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok(Some(match told {
        Some(told) => RunKey {
            dag_id: match told.dag_id {
                Some(dag) => Some(dag),
                None => only_dag(connection, environment, &told.run_id).await?,
            },
            run_id: Some(told.run_id),
            ..RunKey::default()
        },
        None => RunKey {
            dag_id: artifact.dag_id.clone(),
            invocation_id: Some(invocation_id.clone()),
            ..RunKey::default()
        },
    }))
}

/// The longest id of a run, of those that uploads or Airflow tell, that the tag begins with, followed by `-`: clients tag a run's files so.
async fn run_of_tag(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    tag: &str,
) -> sqlx::Result<Option<String>> {
    let begins: Vec<String> = tag
        .match_indices('-')
        .map(|(at, _)| tag[..at].to_owned())
        .filter(|begin| !begin.is_empty())
        .collect();
    sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM (
            SELECT airflow_run_id AS id FROM artifacts
            WHERE environment_id = $1 AND airflow_run_id = ANY($2)
                AND hashtextextended(airflow_run_id, 0) = ANY(ARRAY(SELECT hashtextextended(b.id, 0) FROM unnest($2::text[]) AS b (id)))
            UNION ALL
            SELECT run_id FROM airflow_runs
            WHERE environment_id = $1 AND run_id = ANY($2)
                AND hashtextextended(run_id, 0) = ANY(ARRAY(SELECT hashtextextended(b.id, 0) FROM unnest($2::text[]) AS b (id)))
         ) known ORDER BY length(id) DESC LIMIT 1"#,
        environment.0,
        &begins
    )
    .fetch_optional(connection)
    .await
}

/// The DAG that has this run, if exactly one is known to: Airflow gives the same run ids to many DAGs.
async fn only_dag(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    run_id: &str,
) -> sqlx::Result<Option<String>> {
    let dags = sqlx::query_scalar!(
        r#"SELECT dag_id AS "dag_id!" FROM artifacts
         WHERE environment_id = $1 AND hashtextextended(airflow_run_id, 0) = hashtextextended($2, 0) AND airflow_run_id = $2
            AND dag_id IS NOT NULL
         UNION
         SELECT dag_id FROM airflow_runs
         WHERE environment_id = $1 AND hashtextextended(run_id, 0) = hashtextextended($2, 0) AND run_id = $2
         LIMIT 2"#,
        environment.0,
        run_id
    )
    .fetch_all(connection)
    .await?;
    Ok(<[String; 1]>::try_from(dags).ok().map(|[dag]| dag))
}

/// Puts a file into a step of a run, or out of all.
///
/// # Errors
/// Those of the database.
pub async fn set_placement(
    transaction: &mut PgConnection,
    artifact: &Artifact,
    place: Option<(RunId, StepId)>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE artifacts SET run_id = $3, step_id = $4 WHERE event_id = $1 AND place = $2",
        artifact.event_id.0,
        artifact.place,
        place.map(|(run, _)| run.0),
        place.map(|(_, step)| step.0)
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Computes steps anew from their files; those that have none any more are removed.
///
/// A manifest alone says that dbt ended well, since that is when clients send it: status 10. A step whose results say that something is wrong
/// has 20, whatever its command was.
///
/// # Errors
/// Those of the database.
pub async fn refresh_steps(transaction: &mut PgConnection, account: AccountId, steps: &[StepId]) -> sqlx::Result<()> {
    let ids: Vec<i64> = steps.iter().map(|id| id.0).collect();
    sqlx::query!(
        "DELETE FROM run_steps WHERE account_id = $1 AND id = ANY($2)",
        account.0,
        &ids
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO run_steps (account_id, id, environment_id, run_id, invocation_id, status, dbt_version, created_at,
            updated_at, started_at, finished_at, which, command)
         SELECT a.account_id, a.step_id, a.environment_id, a.run_id, max(a.invocation_id),
            CASE WHEN bool_or(r.failed) THEN 20 ELSE 10 END,
            (array_agg(a.dbt_version ORDER BY a.dbt_version IS NULL, a.event_time DESC, a.event_id DESC, a.place DESC))[1],
            min(a.event_time), max(a.event_time),
            min(coalesce(a.generated_at, a.event_time) - coalesce(r.elapsed_time, 0) * interval '1 second'),
            max(coalesce(a.generated_at, a.event_time)),
            (array_agg(r.which ORDER BY r.which IS NULL, a.kind, a.event_time DESC, a.event_id DESC, a.place DESC))[1],
            (array_agg(r.command ORDER BY r.which IS NULL, a.kind, a.event_time DESC, a.event_id DESC, a.place DESC))[1]
         FROM artifacts a
            LEFT JOIN result_files r
                ON r.account_id = a.account_id AND r.environment_id = a.environment_id AND r.sha256 = a.sha256
         WHERE a.account_id = $1 AND a.step_id = ANY($2)
         GROUP BY a.account_id, a.step_id, a.environment_id, a.run_id",
        account.0,
        &ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// A run and what it belongs to.
#[derive(Clone, Debug)]
pub struct RunPlace<'a> {
    /// The run.
    pub run_id: RunId,
    /// Its job.
    pub job_id: JobId,
    /// Whose.
    pub account_id: AccountId,
    /// The environment's project.
    pub project_id: ProjectId,
    /// Where it ran.
    pub environment_id: EnvironmentId,
    /// What makes it what it is.
    pub key: &'a RunKey,
}

/// Computes a run anew from its steps and files, and from what Airflow tells, and tells its job of it.
///
/// # Errors
/// Those of the database.
pub async fn refresh_run(transaction: &mut PgConnection, run: &RunPlace<'_>) -> sqlx::Result<()> {
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

/// The job's schedule is what Airflow told last.
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

/// What follows for a run from its steps and files, and from what Airflow tells: its word on how the run stands, and when, is the last.
///
/// Without it, a run failed when the last that was done to any of its nodes failed: a task that is tried again and then passes is a success. Results are
/// looked at one by one only where a step failed.
async fn sum_up_run(transaction: &mut PgConnection, account: AccountId, run: RunId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE runs u SET (status, dbt_version, created_at, updated_at, started_at, finished_at) = (
            SELECT CASE WHEN o.status IS NOT NULL THEN o.status WHEN bool_or(s.status = 20) AND EXISTS (
                    SELECT FROM (
                        SELECT DISTINCT ON (n.unique_id) n.failed
                        FROM artifacts a
                            JOIN node_results n
                                ON n.account_id = a.account_id AND n.environment_id = a.environment_id AND n.sha256 = a.sha256
                        WHERE a.account_id = $1 AND a.run_id = $2 AND n.executed
                        ORDER BY n.unique_id, n.at DESC, n.sha256 DESC, n.place DESC
                    ) last WHERE last.failed
                ) THEN 20 ELSE 10 END,
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
        run.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// After files, or what Airflow told, were taken out of a run: computes it anew, and its job, and removes what is empty now.
///
/// # Errors
/// Those of the database.
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
