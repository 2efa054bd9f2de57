//! The run and the step that each file currently belongs to.

use schemas::{AccountId, EnvironmentId, EventId, RunId, Sha256, StepId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::artifacts::Artifact;

/// A file with the run and the step that it currently belongs to.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The environment of the file.
    pub environment: EnvironmentId,
    /// The data from the file's event.
    pub artifact: Artifact,
    /// The run, or `None` if the file belongs to no run or was not placed yet.
    pub run_id: Option<RunId>,
    /// The step, or `None` in the same cases.
    pub step_id: Option<StepId>,
}

/// Where files are: a run and its step, in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOfRun {
    /// The environment of the run.
    pub environment: EnvironmentId,
    /// Its number, unique across all accounts.
    pub run: RunId,
    /// The step of this run that the files belong to.
    pub step: StepId,
}

/// Texts that identify something within an environment, in two columns.
#[derive(Clone, Debug, Default)]
pub struct InEnvironments {
    pub(crate) environments: Vec<i64>,
    pub(crate) texts: Vec<String>,
}

impl InEnvironments {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

impl<T: Into<String>> FromIterator<(EnvironmentId, T)> for InEnvironments {
    fn from_iter<I: IntoIterator<Item = (EnvironmentId, T)>>(all: I) -> Self {
        let (environments, texts) = all
            .into_iter()
            .map(|(environment, text)| (environment.0, text.into()))
            .unzip();
        Self { environments, texts }
    }
}

/// Prevents others from placing files of these environments until the transaction ends. The environments must be sorted, so that two
/// transactions never wait for each other.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_placement(transaction: &mut PgConnection, environments: &[EnvironmentId]) -> sqlx::Result<()> {
    let ids: Vec<i64> = environments.iter().map(|id| id.0).collect();
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('dbt-api placement ' || current_schema(), e.id)) FROM unnest($1::bigint[]) AS e (id)",
        &ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// A file of results in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultsId {
    /// The account of the environment.
    pub account: AccountId,
    /// The environment that the file was uploaded to.
    pub environment: EnvironmentId,
    /// The hash of the file's bytes.
    pub sha256: Sha256,
}

/// The columns of [`ResultsId`]s.
pub(crate) fn columns_of(files: &[ResultsId]) -> (Vec<i64>, Vec<i64>, Vec<Vec<u8>>) {
    (
        files.iter().map(|file| file.account.0).collect(),
        files.iter().map(|file| file.environment.0).collect(),
        files.iter().map(|file| file.sha256.0.to_vec()).collect(),
    )
}

/// Returns the runs and steps that contain these files, from any upload.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn places_of_files(connection: &mut PgConnection, files: &[ResultsId]) -> sqlx::Result<Vec<StepOfRun>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let (accounts, environments, hashes) = columns_of(files);
    let rows = sqlx::query!(
        r#"SELECT DISTINCT a.environment_id, a.run_id AS "run_id!", a.step_id AS "step_id!"
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS f (account_id, environment_id, sha256)
         JOIN artifacts a ON a.account_id = f.account_id AND a.environment_id = f.environment_id AND a.sha256 = f.sha256
         WHERE a.run_id IS NOT NULL AND a.step_id IS NOT NULL"#,
        &accounts,
        &environments,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StepOfRun {
            environment: EnvironmentId(row.environment_id),
            run: RunId(row.run_id),
            step: StepId(row.step_id),
        })
        .collect())
}

/// Finds earlier files that new information may assign to a run: files without a DAG in runs whose DAG is now known, files without a run id of
/// invocations whose run is now known, and files without a run id whose tag starts with the id of a run that is now known.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn unplaced_alike(
    connection: &mut PgConnection,
    runs_with_dag: &InEnvironments,
    invocations_with_run: &InEnvironments,
    runs: &InEnvironments,
) -> sqlx::Result<Vec<Placed>> {
    let rows = sqlx::query!(
        r#"SELECT a.environment_id AS "environment_id!", a.event_id AS "event_id!", a.place AS "place!", a.event_time AS "event_time!",
            a.dag_id, a.airflow_run_id, a.tag, a.invocation_id, a.run_id, a.step_id, a.makes_run AS "makes_run!", a.pruned AS "pruned!"
         FROM unnest($1::bigint[], $2::text[]) AS r (environment_id, id) JOIN artifacts a
            ON a.environment_id = r.environment_id AND hashtextextended(a.airflow_run_id, 0) = hashtextextended(r.id, 0)
                AND a.airflow_run_id = r.id AND a.dag_id IS NULL
         UNION
         SELECT a.environment_id, a.event_id, a.place, a.event_time, a.dag_id, a.airflow_run_id, a.tag, a.invocation_id, a.run_id, a.step_id,
            a.makes_run, a.pruned
         FROM unnest($3::bigint[], $4::text[]) AS i (environment_id, id) JOIN artifacts a
            ON a.environment_id = i.environment_id AND a.invocation_id = i.id AND a.airflow_run_id IS NULL
         UNION
         SELECT a.environment_id, a.event_id, a.place, a.event_time, a.dag_id, a.airflow_run_id, a.tag, a.invocation_id, a.run_id, a.step_id,
            a.makes_run, a.pruned
         FROM unnest($5::bigint[], $6::text[]) AS r (environment_id, id) JOIN artifacts a
            ON a.environment_id = r.environment_id AND a.airflow_run_id IS NULL AND starts_with(a.tag, r.id || '-')
                AND left(a.tag, 250) COLLATE "C" >= left(r.id || '-', 250)
                AND left(a.tag, 250) COLLATE "C" < left(r.id || '-', 250) || chr(1114111)"#,
        &runs_with_dag.environments,
        &runs_with_dag.texts,
        &invocations_with_run.environments,
        &invocations_with_run.texts,
        &runs.environments,
        &runs.texts
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Placed {
            environment: EnvironmentId(row.environment_id),
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

/// Assigns each of these files to a step of a run, or to none.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn set_placements(
    transaction: &mut PgConnection,
    files: &[(&Artifact, Option<(RunId, StepId)>)],
) -> sqlx::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let events: Vec<Uuid> = files.iter().map(|(artifact, _)| artifact.event_id.0).collect();
    let places: Vec<i32> = files.iter().map(|(artifact, _)| artifact.place).collect();
    let runs: Vec<Option<i64>> = files.iter().map(|(_, step)| step.map(|(run, _)| run.0)).collect();
    let steps: Vec<Option<i64>> = files.iter().map(|(_, step)| step.map(|(_, step)| step.0)).collect();
    sqlx::query!(
        "UPDATE artifacts a SET run_id = p.run_id, step_id = p.step_id
         FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[]) AS p (event_id, place, run_id, step_id)
         WHERE a.event_id = p.event_id AND a.place = p.place",
        &events,
        &places,
        &runs as &[Option<i64>],
        &steps as &[Option<i64>]
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
    invocations: &InEnvironments,
) -> sqlx::Result<Vec<StepOfRun>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT a.environment_id, a.run_id AS "run_id!", a.step_id AS "step_id!"
         FROM unnest($1::bigint[], $2::text[]) AS i (environment_id, id) JOIN artifacts a
            ON a.environment_id = i.environment_id AND a.invocation_id = i.id
         WHERE a.kind IN ('run_results', 'sources') AND a.run_id IS NOT NULL AND a.step_id IS NOT NULL"#,
        &invocations.environments,
        &invocations.texts
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StepOfRun {
            environment: EnvironmentId(row.environment_id),
            run: RunId(row.run_id),
            step: StepId(row.step_id),
        })
        .collect())
}
