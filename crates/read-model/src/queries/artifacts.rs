//! Queries for the files of runs.

use schemas::{AccountId, JobId, RunId, RunStatus, Sha256};
use sqlx::PgConnection;

/// Identifies the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The hash of the bytes as uploaded.
    pub sha256: Sha256,
    /// The size as uploaded, in bytes.
    pub size: i64,
}

impl RunFile {
    pub(super) fn of_columns(sha256: Vec<u8>, size: i64) -> sqlx::Result<Self> {
        let sha256 = sha256_of_column(sha256)?;
        Ok(Self { sha256, size })
    }
}

/// Returns the distinct names of a run's files in sorted order. `step` restricts them to one step by its position, counted from 1.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn artifact_names(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    step: Option<i64>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT DISTINCT name FROM artifacts WHERE account_id = $1 AND run_id = $2
            AND ($3::bigint IS NULL OR step_id = (
                SELECT s.id FROM (
                    SELECT id, row_number() OVER (ORDER BY started_at, id) AS index FROM run_steps
                    WHERE account_id = $1 AND run_id = $2
                ) s WHERE s.index = $3))
         ORDER BY name",
        account.0,
        run.0,
        step
    )
    .fetch_all(connection)
    .await
}

/// Returns the newest file of a run with this name, for clients that do not specify a step. Run results of a step that worked on nodes take
/// precedence over those of a step that only compiled them, such as `docs generate` after a build.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn run_file(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    name: &str,
) -> sqlx::Result<Option<RunFile>> {
    let row = sqlx::query!(
        "SELECT a.sha256, a.size FROM artifacts a
            LEFT JOIN result_files f ON f.account_id = $1 AND f.environment_id = a.environment_id AND f.sha256 = a.sha256
            LEFT JOIN run_steps s ON s.account_id = $1 AND s.id = a.step_id AND a.kind = 'run_results'
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.name = $3
         ORDER BY coalesce(f.touches_nodes, false) DESC, s.started_at DESC NULLS LAST, s.id DESC NULLS LAST,
            a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        run.0,
        name
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| RunFile::of_columns(row.sha256, row.size)).transpose()
}

/// Returns the file of a run's step with this name. The step is given by its position, counted from 1. If the step has no such file and
/// `or_before` is set, the file comes from the last earlier step that has one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn step_file(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    name: &str,
    step: i64,
    or_before: bool,
) -> sqlx::Result<Option<RunFile>> {
    let row = sqlx::query!(
        "WITH steps AS (
            SELECT id, row_number() OVER (ORDER BY started_at, id) AS index FROM run_steps WHERE account_id = $1 AND run_id = $2
         )
         SELECT a.sha256, a.size FROM artifacts a JOIN steps s ON s.id = a.step_id
         WHERE a.account_id = $1 AND a.run_id = $2 AND a.name = $3 AND (s.index = $4 OR ($5 AND s.index < $4))
            AND EXISTS (SELECT FROM steps WHERE index = $4)
         ORDER BY s.index DESC, a.done_at DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        run.0,
        name,
        step,
        or_before
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| RunFile::of_columns(row.sha256, row.size)).transpose()
}

/// Returns the file of a job with this name, from the newest of its ended runs that have it. For run results, it is the newest run that
/// worked on nodes, if there is one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn job_file(
    connection: &mut PgConnection,
    account: AccountId,
    job: JobId,
    name: &str,
) -> sqlx::Result<Option<RunFile>> {
    let mut run = None;
    if name == "run_results.json" {
        run = newest_ended_run(connection, account, job, name, true).await?;
    }
    if run.is_none() {
        run = newest_ended_run(connection, account, job, name, false).await?;
    }
    match run {
        Some(run) => run_file(connection, account, run, name).await,
        None => Ok(None),
    }
}

/// Returns the newest ended run of a job that has a file with this name, and if `works` is true, from a step that worked on nodes.
async fn newest_ended_run(
    connection: &mut PgConnection,
    account: AccountId,
    job: JobId,
    name: &str,
    works: bool,
) -> sqlx::Result<Option<RunId>> {
    let run = sqlx::query_scalar!(
        "SELECT r.id FROM runs r
         WHERE r.account_id = $1 AND r.job_id = $2 AND r.status >= $3 AND EXISTS (
            SELECT FROM artifacts a LEFT JOIN run_steps s ON s.account_id = $1 AND s.id = a.step_id
            WHERE a.account_id = $1 AND a.run_id = r.id AND a.name = $4 AND (s.touches_nodes OR NOT $5::boolean))
         ORDER BY r.finished_at DESC NULLS LAST, r.id DESC LIMIT 1",
        account.0,
        job.0,
        RunStatus::ENDED,
        name,
        works
    )
    .fetch_optional(connection)
    .await?;
    Ok(run.map(RunId))
}

/// Converts a hash from a table column.
pub(super) fn sha256_of_column(bytes: Vec<u8>) -> sqlx::Result<Sha256> {
    let bytes = bytes.try_into().map_err(|bytes: Vec<u8>| {
        sqlx::Error::Decode(format!("invalid SHA-256: expected 32 bytes, got {}", bytes.len()).into())
    })?;
    Ok(Sha256(bytes))
}
