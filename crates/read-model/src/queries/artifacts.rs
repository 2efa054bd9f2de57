//! Files of runs.

use chrono::{DateTime, Utc};
use schemas::{AccountId, JobId, RunId, Sha256};
use sqlx::PgConnection;

/// Which bytes a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// Of the bytes as uploaded.
    pub sha256: Sha256,
    /// Bytes as uploaded.
    pub size: i64,
}

impl RunFile {
    fn of_columns(sha256: Vec<u8>, size: i64) -> sqlx::Result<Self> {
        let sha256 = sha256_of_column(sha256)?;
        Ok(Self { sha256, size })
    }
}

/// The names of a run's files, each once, in their order; those of one of its steps, if a step is named by its place from 1.
///
/// # Errors
/// Those of the database.
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
                    SELECT id, row_number() OVER (ORDER BY created_at, id) AS index FROM run_steps
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

/// The file that a run has under a name: the newest, or that of one of its steps, if a step is named by its place from 1.
///
/// # Errors
/// Those of the database.
pub async fn run_file(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    name: &str,
    step: Option<i64>,
) -> sqlx::Result<Option<RunFile>> {
    let row = sqlx::query!(
        "SELECT sha256, size FROM artifacts WHERE account_id = $1 AND run_id = $2 AND name = $3
            AND ($4::bigint IS NULL OR step_id = (
                SELECT s.id FROM (
                    SELECT id, row_number() OVER (ORDER BY created_at, id) AS index FROM run_steps
                    WHERE account_id = $1 AND run_id = $2
                ) s WHERE s.index = $4))
         ORDER BY event_time DESC, event_id DESC, place DESC LIMIT 1",
        account.0,
        run.0,
        name,
        step
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| RunFile::of_columns(row.sha256, row.size)).transpose()
}

/// The file that a job has under a name: of the newest of its ended runs that have it.
///
/// # Errors
/// Those of the database.
pub async fn job_file(
    connection: &mut PgConnection,
    account: AccountId,
    job: JobId,
    name: &str,
) -> sqlx::Result<Option<(RunId, RunFile)>> {
    let row = sqlx::query!(
        "SELECT r.id, a.sha256, a.size FROM runs r
         CROSS JOIN LATERAL (
            SELECT sha256, size FROM artifacts WHERE account_id = $1 AND run_id = r.id AND name = $3
            ORDER BY event_time DESC, event_id DESC, place DESC LIMIT 1
         ) a
         WHERE r.account_id = $1 AND r.job_id = $2 ORDER BY r.finished_at DESC NULLS LAST, r.id DESC LIMIT 1",
        account.0,
        job.0,
        name
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((RunId(row.id), RunFile::of_columns(row.sha256, row.size)?)))
        .transpose()
}

/// Which manifest is looked for. All that is told must hold.
#[derive(Clone, Copy, Debug)]
pub struct ManifestFilter<'a> {
    /// Of one of these environments.
    pub environments: &'a [i64],
    /// Of a run of this DAG.
    pub dag_id: Option<&'a str>,
    /// Uploaded with this tag.
    pub tag: Option<&'a str>,
}

/// The newest manifest that was uploaded, and when.
///
/// # Errors
/// Those of the database.
pub async fn newest_manifest_where(
    connection: &mut PgConnection,
    account: AccountId,
    filter: ManifestFilter<'_>,
) -> sqlx::Result<Option<(RunFile, DateTime<Utc>)>> {
    let row = sqlx::query!(
        "SELECT a.sha256, a.size, a.event_time FROM artifacts a
         WHERE a.account_id = $1 AND a.environment_id = ANY($2) AND a.kind = 'manifest'
            AND ($3::text IS NULL OR a.dag_id = $3
                OR EXISTS (SELECT FROM runs r WHERE r.account_id = $1 AND r.id = a.run_id AND r.dag_id = $3))
            AND ($4::text IS NULL OR a.tag = $4)
         ORDER BY a.event_time DESC, a.event_id DESC, a.place DESC LIMIT 1",
        account.0,
        filter.environments,
        filter.dag_id,
        filter.tag
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((RunFile::of_columns(row.sha256, row.size)?, row.event_time)))
        .transpose()
}

/// A hash as the tables hold it.
pub(super) fn sha256_of_column(bytes: Vec<u8>) -> sqlx::Result<Sha256> {
    let bytes = bytes
        .try_into()
        .map_err(|bytes: Vec<u8>| sqlx::Error::Decode(format!("a SHA-256 has {} bytes", bytes.len()).into()))?;
    Ok(Sha256(bytes))
}
