//! Removes old data, and data that was read incorrectly.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, EventId, JobId, RunId, Sha256};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::aspects::uploads_in_use;

/// Selects the runs of an account to remove. A run must meet all criteria that are given.
#[derive(Clone, Debug)]
pub struct Prunable {
    /// The account whose runs are removed. Others are never touched.
    pub account: AccountId,
    /// Only runs in this environment.
    pub environment: Option<EnvironmentId>,
    /// Only runs of this job.
    pub job: Option<JobId>,
    /// Only runs that ended before this time.
    pub before: Option<DateTime<Utc>>,
    /// Only runs that are not among this many newest runs of their job.
    pub keep: Option<i64>,
}

/// A run that meets the criteria.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Its number, unique across all accounts.
    #[serde(rename = "id")]
    pub run: RunId,
    /// The job of the run.
    #[serde(rename = "job_id")]
    pub job: JobId,
    /// The environment of the run.
    #[serde(rename = "environment_id")]
    pub environment: EnvironmentId,
    /// When the run ended, or was last changed if it has not.
    pub ended_at: DateTime<Utc>,
    /// Whether the current state depends on the run, so that it may not be removed.
    #[serde(skip)]
    pub is_in_use: bool,
}

/// Finds the runs that meet the criteria. Runs that the current state depends on are in use: those with the newest file of a kind in an
/// environment, with the newest manifest of a dbt project or a manifest to defer to, or with the last attempt, success or freshness check, the last failure of a test,
/// the compiled code or the catalog entry of a node that is defined.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn prunable_runs(connection: &mut PgConnection, which: &Prunable) -> sqlx::Result<Vec<Candidate>> {
    let in_use = uploads_in_use(connection, which.account, which.environment).await?;
    let (events, places): (Vec<Uuid>, Vec<i32>) = in_use.into_iter().unzip();
    let rows = sqlx::query!(
        r#"WITH ranked AS (
            SELECT id, job_id, environment_id, coalesce(finished_at, updated_at) AS ended_at,
                row_number() OVER (PARTITION BY job_id ORDER BY created_at DESC, id DESC) AS place
            FROM runs WHERE account_id = $1
        ), newest AS (
            SELECT DISTINCT ON (environment_id, kind, dbt_project) environment_id, kind, dbt_project, run_id, sha256 FROM artifacts
            WHERE account_id = $1 AND NOT pruned AND ($2::bigint IS NULL OR environment_id = $2)
            ORDER BY environment_id, kind, dbt_project, done_at DESC, event_id DESC, place DESC
        ), to_defer_to AS (
            SELECT DISTINCT ON (a.environment_id, a.dbt_project, r.dag_id, r.deferral_rank) a.run_id
            FROM artifacts a JOIN runs r ON r.account_id = $1 AND r.id = a.run_id
            WHERE a.account_id = $1 AND a.kind = 'manifest' AND ($2::bigint IS NULL OR a.environment_id = $2)
            ORDER BY a.environment_id, a.dbt_project, r.dag_id, r.deferral_rank, a.done_at DESC, a.event_id DESC, a.place DESC
        ), defined AS (
            SELECT DISTINCT w.environment_id, n.unique_id FROM newest w
            JOIN manifests m ON m.account_id = $1 AND m.sha256 = w.sha256 AND w.kind = 'manifest'
            JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type NOT IN ('macro', 'doc')
            CROSS JOIN LATERAL unnest(s.node_ids) AS u (id) JOIN nodes n ON n.id = u.id
        ), results AS (
            SELECT l.environment_id, l.sha256 FROM defined d CROSS JOIN LATERAL (
                (SELECT environment_id, sha256 FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = d.environment_id AND r.is_attempt AND r.is_success
                    AND md5(r.unique_id) = md5(d.unique_id) AND r.unique_id = d.unique_id
                 ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1)
                UNION ALL
                (SELECT environment_id, sha256 FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = d.environment_id AND r.is_attempt AND NOT r.is_success
                    AND md5(r.unique_id) = md5(d.unique_id) AND r.unique_id = d.unique_id
                 ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1)
                UNION ALL
                (SELECT environment_id, sha256 FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = d.environment_id AND r.is_attempt AND NOT r.is_success
                    AND r.status NOT IN ('skipped', 'no-op', 'reused') AND (d.unique_id LIKE 'test.%' OR d.unique_id LIKE 'unit\_test.%')
                    AND md5(r.unique_id) = md5(d.unique_id) AND r.unique_id = d.unique_id
                 ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1)
                UNION ALL
                (SELECT environment_id, sha256 FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = d.environment_id AND r.is_freshness
                    AND md5(r.unique_id) = md5(d.unique_id) AND r.unique_id = d.unique_id
                 ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1)
                UNION ALL
                (SELECT environment_id, sha256 FROM node_results r
                 WHERE r.account_id = $1 AND r.environment_id = d.environment_id AND r.is_freshness AND r.has_passed
                    AND md5(r.unique_id) = md5(d.unique_id) AND r.unique_id = d.unique_id
                 ORDER BY at DESC, sha256 DESC, place DESC LIMIT 1)
            ) l
        ), kept AS (
            SELECT run_id FROM newest
            UNION SELECT run_id FROM to_defer_to
            UNION SELECT a.run_id FROM results r
                JOIN artifacts a ON a.account_id = $1 AND a.sha256 = r.sha256 AND a.environment_id = r.environment_id
            UNION SELECT a.run_id FROM unnest($6::uuid[], $7::integer[]) AS u (event_id, place)
                JOIN artifacts a ON a.account_id = $1 AND a.event_id = u.event_id AND a.place = u.place
        )
        SELECT id, job_id, environment_id, ended_at AS "ended_at!",
            EXISTS (SELECT FROM kept WHERE kept.run_id = ranked.id) AS "is_in_use!" FROM ranked
        WHERE ($2::bigint IS NULL OR environment_id = $2) AND ($3::bigint IS NULL OR job_id = $3)
            AND ($4::timestamptz IS NULL OR ended_at < $4) AND ($5::bigint IS NULL OR place > $5)
        ORDER BY id"#,
        which.account.0,
        which.environment.map(|id| id.0),
        which.job.map(|id| id.0),
        which.before,
        which.keep,
        &events,
        &places
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Candidate {
            run: RunId(row.id),
            job: JobId(row.job_id),
            environment: EnvironmentId(row.environment_id),
            ended_at: row.ended_at,
            is_in_use: row.is_in_use,
        })
        .collect())
}

/// Returns the uploads that these runs consist of, each with the run of each of its files. A file without a run is listed only if it is the
/// newest of its kind in its environment. (Other files without a run do not keep an upload.) Airflow's latest observation of a run counts
/// as one of its uploads.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn uploads_of_runs(
    connection: &mut PgConnection,
    account: AccountId,
    runs: &[RunId],
) -> sqlx::Result<Vec<(EventId, Option<RunId>)>> {
    let ids: Vec<i64> = runs.iter().map(|run| run.0).collect();
    let rows = sqlx::query!(
        r#"SELECT a.event_id AS "event_id!", a.run_id FROM artifacts a
         WHERE a.event_id IN (SELECT event_id FROM artifacts WHERE account_id = $1 AND run_id = ANY($2))
            AND (a.run_id IS NOT NULL OR NOT EXISTS (
                SELECT FROM artifacts n WHERE n.account_id = $1 AND n.environment_id = a.environment_id AND n.kind = a.kind
                    AND NOT n.pruned AND n.dbt_project IS NOT DISTINCT FROM a.dbt_project
                    AND (n.done_at, n.event_id, n.place) > (a.done_at, a.event_id, a.place)))
         UNION
         SELECT o.event_id, r.id FROM runs r JOIN airflow_runs o
            ON o.environment_id = r.environment_id AND o.run_id = r.airflow_run_id AND o.dag_id = r.dag_id
                AND hashtextextended(o.run_id, 0) = hashtextextended(r.airflow_run_id, 0)
         WHERE r.account_id = $1 AND r.id = ANY($2)
         ORDER BY 1"#,
        account.0,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (EventId(row.event_id), row.run_id.map(RunId)))
        .collect())
}

/// Records that these uploads are removed permanently, and removes their files from their runs.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn note_pruned(transaction: &mut PgConnection, account: AccountId, uploads: &[EventId]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.0).collect();
    sqlx::query!(
        "INSERT INTO pruned_uploads (event_id, account_id) SELECT id, $1 FROM unnest($2::uuid[]) AS u (id)
         ON CONFLICT DO NOTHING",
        account.0,
        &ids
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE artifacts SET pruned = true, run_id = NULL, step_id = NULL, dbt_project = NULL WHERE account_id = $1 AND event_id = ANY($2)",
        account.0,
        &ids
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Returns those of these uploads that were pruned.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn pruned_of(connection: &mut PgConnection, events: &[EventId]) -> sqlx::Result<HashSet<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.0).collect();
    let pruned = sqlx::query_scalar!("SELECT event_id FROM pruned_uploads WHERE event_id = ANY($1)", &ids)
        .fetch_all(connection)
        .await?;
    Ok(pruned.into_iter().map(EventId).collect())
}

/// A file of an upload, with its current place.
#[derive(Clone, Debug)]
pub struct FileOfUpload {
    /// The id of the upload's event.
    pub event: EventId,
    /// The hash of the file.
    pub sha256: Sha256,
    /// The environment of the upload.
    pub environment: EnvironmentId,
    /// The run of the file, if it belongs to one.
    pub run: Option<RunId>,
    /// The step of the file, if it belongs to one.
    pub step: Option<i64>,
    /// dbt's id of the invocation that wrote the file.
    pub invocation: Option<String>,
}

/// Returns the files of these uploads.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn artifacts_of(
    connection: &mut PgConnection,
    account: AccountId,
    uploads: &[EventId],
) -> sqlx::Result<Vec<FileOfUpload>> {
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT event_id, sha256, environment_id, run_id, step_id, invocation_id FROM artifacts WHERE account_id = $1 AND event_id = ANY($2)",
        account.0,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(FileOfUpload {
                event: EventId(row.event_id),
                sha256: Sha256(row.sha256.try_into().ok()?),
                environment: EnvironmentId(row.environment_id),
                run: row.run_id.map(RunId),
                step: row.step_id,
                invocation: row.invocation_id,
            })
        })
        .collect())
}

/// Removes the files of an upload, so that it can be applied again.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn remove_upload(transaction: &mut PgConnection, event: EventId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM artifacts WHERE event_id = $1", event.0)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Removes the content that was read from these files, unless an upload that is kept contains it. Set `rewrite_in` if an upload to this
/// environment is about to write the content again. Then shared content is removed too, except content that is stored for other
/// environments.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn forget_contents(
    transaction: &mut PgConnection,
    account: AccountId,
    files: &[Sha256],
    rewrite_in: Option<EnvironmentId>,
) -> sqlx::Result<()> {
    let hashes: Vec<Vec<u8>> = files.iter().map(|hash| hash.0.to_vec()).collect();
    let even_if_shared = rewrite_in.is_some();
    // Results are stored for each environment.
    sqlx::query!(
        "DELETE FROM result_files f WHERE f.account_id = $1 AND f.sha256 = ANY($2::bytea[])
            AND (f.environment_id = $3::bigint OR NOT EXISTS (SELECT FROM artifacts a WHERE a.account_id = $1
                AND a.sha256 = f.sha256 AND a.environment_id = f.environment_id AND NOT a.pruned))",
        account.0,
        &hashes,
        rewrite_in.map(|environment| environment.0)
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM node_results r WHERE r.account_id = $1 AND r.sha256 = ANY($2::bytea[])
            AND NOT EXISTS (SELECT FROM result_files f WHERE f.account_id = $1 AND f.environment_id = r.environment_id
                AND f.sha256 = r.sha256)",
        account.0,
        &hashes
    )
    .execute(&mut *transaction)
    .await?;
    let catalogs = sqlx::query!(
        "DELETE FROM catalogs c WHERE c.account_id = $1 AND c.sha256 = ANY($2::bytea[])
            AND ($3 OR NOT EXISTS (SELECT FROM artifacts a WHERE a.account_id = $1 AND a.sha256 = c.sha256 AND NOT a.pruned))",
        account.0,
        &hashes,
        even_if_shared
    )
    .execute(&mut *transaction)
    .await?;
    if catalogs.rows_affected() > 0 {
        sqlx::query!(
            "DELETE FROM catalog_sets s WHERE s.account_id = $1
                AND NOT EXISTS (SELECT FROM catalogs c WHERE c.account_id = $1 AND c.catalog_set = s.hash)",
            account.0
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "DELETE FROM catalog_nodes n WHERE n.account_id = $1
                AND NOT EXISTS (SELECT FROM catalog_sets s CROSS JOIN unnest(s.node_ids) AS kept (id)
                    WHERE s.account_id = $1 AND kept.id = n.id)",
            account.0
        )
        .execute(&mut *transaction)
        .await?;
    }
    let manifests = sqlx::query!(
        "DELETE FROM manifests m WHERE m.account_id = $1 AND m.sha256 = ANY($2::bytea[])
            AND ($3 OR NOT EXISTS (SELECT FROM artifacts a WHERE a.account_id = $1 AND a.sha256 = m.sha256 AND NOT a.pruned))",
        account.0,
        &hashes,
        even_if_shared
    )
    .execute(&mut *transaction)
    .await?;
    if manifests.rows_affected() > 0 {
        forget_nodes(transaction, account).await?;
    }
    Ok(())
}

/// Removes the parts of manifests that no manifest uses any more.
async fn forget_nodes(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM quarantined_nodes q WHERE q.account_id = $1
            AND NOT EXISTS (SELECT FROM manifests m WHERE m.account_id = $1 AND m.sha256 = q.sha256)",
        account.0
    )
    .execute(&mut *transaction)
    .await?;
    let sets = sqlx::query!(
        "DELETE FROM node_sets s WHERE s.account_id = $1
            AND NOT EXISTS (SELECT FROM manifests m WHERE m.account_id = $1 AND m.node_set = s.hash)
            AND NOT EXISTS (SELECT FROM current_node_sets c WHERE c.account_id = $1 AND s.hash IN (c.hash, c.spare))",
        account.0
    )
    .execute(&mut *transaction)
    .await?;
    if sets.rows_affected() > 0 {
        sqlx::query!(
            "DELETE FROM nodes n WHERE n.account_id = $1
                AND NOT EXISTS (SELECT FROM node_sets s CROSS JOIN unnest(s.node_ids) AS kept (id)
                    WHERE s.account_id = $1 AND kept.id = n.id)",
            account.0
        )
        .execute(&mut *transaction)
        .await?;
    }
    let sets = sqlx::query!(
        "DELETE FROM text_sets s WHERE s.account_id = $1
            AND NOT EXISTS (SELECT FROM manifests m WHERE m.account_id = $1 AND s.hash IN (m.compiled_set, m.macro_set))",
        account.0
    )
    .execute(&mut *transaction)
    .await?;
    if sets.rows_affected() > 0 {
        sqlx::query!(
            "DELETE FROM texts t WHERE t.account_id = $1
                AND NOT EXISTS (SELECT FROM text_sets s CROSS JOIN unnest(s.text_ids) AS kept (id)
                    WHERE s.account_id = $1 AND kept.id = t.id)",
            account.0
        )
        .execute(transaction)
        .await?;
    }
    Ok(())
}
