//! The run and the step that each file currently belongs to.

use schemas::{AccountId, EnvironmentId, EventId, RunId, Sha256, StepId};
use sqlx::PgConnection;

use crate::artifacts::Artifact;

/// A file with the run and the step that it currently belongs to.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The data from the file's event.
    pub artifact: Artifact,
    /// The run, or `None` if the file belongs to no run or was not placed yet.
    pub run_id: Option<RunId>,
    /// The step, or `None` in the same cases.
    pub step_id: Option<StepId>,
}

/// Prevents others from placing files of this environment until the transaction ends.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_placement(transaction: &mut PgConnection, environment: EnvironmentId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api placement', $1))",
        environment.0
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Returns the runs and steps that contain these files, from any upload.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Finds earlier files that new information may place: files without a DAG in runs whose DAG is now known, files without a run id of
/// invocations whose run is now known, and files without a run id whose tag starts with the id of a run that is now known.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unplaced_alike(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    runs_with_dag: &[String],
    invocations_with_run: &[String],
    runs: &[String],
) -> sqlx::Result<Vec<Placed>> {
    let rows = sqlx::query!(
        r#"SELECT event_id AS "event_id!", place AS "place!", event_time AS "event_time!", dag_id, airflow_run_id, tag,
            invocation_id, run_id, step_id, makes_run AS "makes_run!", pruned AS "pruned!"
         FROM artifacts
         WHERE environment_id = $1
            AND ((hashtextextended(airflow_run_id, 0) = ANY(ARRAY(SELECT hashtextextended(u.id, 0) FROM unnest($2::text[]) AS u (id)))
                    AND airflow_run_id = ANY($2) AND dag_id IS NULL)
                OR (airflow_run_id IS NULL AND invocation_id = ANY($3)))
         UNION
         SELECT a.event_id, a.place, a.event_time, a.dag_id, a.airflow_run_id, a.tag, a.invocation_id, a.run_id, a.step_id,
            a.makes_run, a.pruned
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
                makes_run: row.makes_run,
                pruned: row.pruned,
            },
            run_id: row.run_id.map(RunId),
            step_id: row.step_id.map(StepId),
        })
        .collect())
}

/// Assigns a file to a step of a run, or to none.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns the steps that contain results of these invocations, with their runs. A manifest that arrives later may show that a command was
/// interrupted.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn places_of_invocations(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    invocations: &[String],
) -> sqlx::Result<Vec<(RunId, StepId)>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT run_id AS "run_id!", step_id AS "step_id!" FROM artifacts
         WHERE environment_id = $1 AND invocation_id = ANY($2) AND kind IN ('run_results', 'sources') AND run_id IS NOT NULL
            AND step_id IS NOT NULL"#,
        environment.0,
        invocations
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (RunId(row.run_id), StepId(row.step_id)))
        .collect())
}
