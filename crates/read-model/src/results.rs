//! The results of nodes. Each content is read only once.

use std::collections::HashSet;

use artifacts::{Failure, Outcome};
use chrono::{DateTime, Utc};
use schemas::{ArtifactKind, EnvironmentId, Sha256};
use sqlx::PgConnection;

use crate::ids::in_microseconds;
use crate::manifests::{array_of, content_id};
use crate::placement::{ResultsId, columns_of};

/// The number of rows that one statement inserts.
const BATCH: usize = 2_000;

/// A file of results.
#[derive(Clone, Debug)]
pub struct ResultFile {
    /// The file in its environment.
    pub id: ResultsId,
    /// The kind of the file: run results, sources or freshness.
    pub kind: ArtifactKind,
    /// The name of the dbt command.
    pub which: Option<String>,
    /// The command as it was typed.
    pub command: Option<String>,
    /// A hash that is equal for the same command with the same selection, macro and arguments.
    pub command_key: Option<Sha256>,
    /// Whether the command built with `--empty` or `--sample`.
    pub is_limited: bool,
    /// The duration of the command, in seconds.
    pub elapsed_time: f64,
    /// Whether any result is a failure.
    pub failed: bool,
    /// Whether something failed that is neither a node nor a freshness check.
    pub failed_outside: bool,
    /// Whether a hook failed in a command that works on nodes.
    pub failed_hook: bool,
    /// Whether the command attempted work on a node of the manifest.
    pub touches_nodes: bool,
    /// The hooks that the file lists, by dbt's ids.
    pub hooks: Vec<String>,
    /// Whether the file lists work that leaves traces in the invocation's manifest, unless the command was interrupted.
    pub leaves_traces: bool,
    /// The results, in the order of the file.
    pub rows: Vec<ResultRow>,
}

/// A row of `node_results`.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// dbt's id of the node.
    pub unique_id: String,
    /// The status in lower case.
    pub status: String,
    /// What the status means.
    pub outcome: Outcome,
    /// When the node was completed, or else when the file was written or accepted.
    pub at: DateTime<Utc>,
    /// The execution time, in seconds.
    pub execution_time: Option<f64>,
    /// The number of rows that failed, for tests.
    pub failures: Option<i64>,
    /// The number of affected rows, as the adapter reports it.
    pub rows_affected: Option<i64>,
    /// The result, compressed by [`crate::doc::DocEncoder`].
    pub doc: Vec<u8>,
}

/// The number that `node_results` stores for a failure.
fn number_of(failure: Option<Failure>) -> i16 {
    match failure {
        None => 0,
        Some(Failure::Node) => 1,
        Some(Failure::Outside) => 2,
        Some(Failure::Freshness) => 3,
    }
}

/// Returns those of these contents that were read before.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn known_results(connection: &mut PgConnection, files: &[ResultsId]) -> sqlx::Result<HashSet<ResultsId>> {
    if files.is_empty() {
        return Ok(HashSet::new());
    }
    let (accounts, environments, hashes) = columns_of(files);
    let known = sqlx::query_scalar!(
        r#"SELECT f.place AS "place!" FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY
            AS f (account_id, environment_id, sha256, place)
         WHERE EXISTS (SELECT FROM result_files r
            WHERE r.account_id = f.account_id AND r.environment_id = f.environment_id AND r.sha256 = f.sha256)"#,
        &accounts,
        &environments,
        &hashes
    )
    .fetch_all(connection)
    .await?;
    Ok(at_positions(files, known))
}

/// Limits the times of the results of files to their first uploads, so that a fast clock does not make them newer than they are. Returns the
/// files of which a time changed. Call it after inserting each upload of the files.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn limit_times(transaction: &mut PgConnection, files: &[ResultsId]) -> sqlx::Result<HashSet<ResultsId>> {
    if files.is_empty() {
        return Ok(HashSet::new());
    }
    let (accounts, environments, hashes) = columns_of(files);
    let limited = sqlx::query_scalar!(
        r#"WITH first AS MATERIALIZED (
            SELECT f.place, f.account_id, f.environment_id, f.sha256, (SELECT min(a.event_time) FROM artifacts a
                WHERE a.account_id = f.account_id AND a.environment_id = f.environment_id AND a.sha256 = f.sha256) AS time
            FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS f (account_id, environment_id, sha256, place)
         ), limited AS (
            UPDATE node_results n SET at = first.time FROM first
            WHERE n.account_id = first.account_id AND n.environment_id = first.environment_id AND n.sha256 = first.sha256
                AND n.at > first.time
            RETURNING first.place
         )
         SELECT DISTINCT place AS "place!" FROM limited"#,
        &accounts,
        &environments,
        &hashes
    )
    .fetch_all(transaction)
    .await?;
    Ok(at_positions(files, limited))
}

/// Returns the files at these positions, counted from 1.
fn at_positions(files: &[ResultsId], positions: Vec<i64>) -> HashSet<ResultsId> {
    let indices = positions
        .into_iter()
        .filter_map(|position| usize::try_from(position - 1).ok());
    indices.filter_map(|index| files.get(index).copied()).collect()
}

/// Stores those of these files that are not stored yet, with their results.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn insert_results(transaction: &mut PgConnection, files: &[ResultFile]) -> sqlx::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let new = insert_files(transaction, files).await?;
    let rows: Vec<(&ResultFile, i32, &ResultRow)> = files
        .iter()
        .filter(|file| new.contains(&file.id))
        .flat_map(|file| (0..).zip(&file.rows).map(move |(place, row)| (file, place, row)))
        .collect();
    for rows in rows.chunks(BATCH) {
        insert_rows(transaction, rows).await?;
    }
    Ok(())
}

/// Returns the files that were not stored before.
async fn insert_files(transaction: &mut PgConnection, files: &[ResultFile]) -> sqlx::Result<HashSet<ResultsId>> {
    let ids: Vec<ResultsId> = files.iter().map(|file| file.id).collect();
    let (accounts, environments, hashes) = columns_of(&ids);
    let which: Vec<Option<&str>> = files.iter().map(|file| file.which.as_deref()).collect();
    let commands: Vec<Option<&str>> = files.iter().map(|file| file.command.as_deref()).collect();
    let times: Vec<f64> = files.iter().map(|file| file.elapsed_time).collect();
    let failed: Vec<bool> = files.iter().map(|file| file.failed).collect();
    let kinds: Vec<&str> = files.iter().map(|file| file.kind.as_str()).collect();
    let command_keys: Vec<Option<Vec<u8>>> = files
        .iter()
        .map(|file| file.command_key.map(|key| key.0.to_vec()))
        .collect();
    let limited: Vec<bool> = files.iter().map(|file| file.is_limited).collect();
    let empty: Vec<bool> = files.iter().map(|file| file.rows.is_empty()).collect();
    let touching: Vec<bool> = files.iter().map(|file| file.touches_nodes).collect();
    let failed_outside: Vec<bool> = files.iter().map(|file| file.failed_outside).collect();
    let failed_hooks: Vec<bool> = files.iter().map(|file| file.failed_hook).collect();
    let hooks: Vec<String> = files.iter().map(|file| array_of(&file.hooks)).collect();
    let leaving_traces: Vec<bool> = files.iter().map(|file| file.leaves_traces).collect();
    let inserted = sqlx::query!(
        "INSERT INTO result_files (account_id, environment_id, sha256, which, command, elapsed_time, failed, kind, command_key,
            is_limited, is_empty, touches_nodes, failed_outside, failed_hook, hooks, leaves_traces)
         SELECT f.account_id, f.environment_id, f.sha256, f.which, f.command, f.elapsed_time, f.failed, f.kind, f.command_key,
            f.is_limited, f.is_empty, f.touches_nodes, f.failed_outside, f.failed_hook, f.hooks::text[], f.leaves_traces
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::float8[], $7::bool[], $8::text[], $9::bytea[],
                $10::bool[], $11::bool[], $12::bool[], $13::bool[], $14::bool[], $15::text[], $16::bool[])
            AS f (account_id, environment_id, sha256, which, command, elapsed_time, failed, kind, command_key, is_limited, is_empty,
                touches_nodes, failed_outside, failed_hook, hooks, leaves_traces)
         ON CONFLICT DO NOTHING RETURNING account_id, environment_id, sha256",
        &accounts,
        &environments,
        &hashes,
        &which as &[Option<&str>],
        &commands as &[Option<&str>],
        &times,
        &failed,
        &kinds as &[&str],
        &command_keys as &[Option<Vec<u8>>],
        &limited,
        &empty,
        &touching,
        &failed_outside,
        &failed_hooks,
        &hooks,
        &leaving_traces
    )
    .fetch_all(transaction)
    .await?;
    let inserted = inserted.into_iter();
    Ok(inserted
        .filter_map(|row| {
            let (account, sha256) = content_id(row.account_id, row.sha256)?;
            Some(ResultsId {
                account,
                environment: EnvironmentId(row.environment_id),
                sha256,
            })
        })
        .collect())
}

/// Inserts results, each with its file and its position there.
async fn insert_rows(transaction: &mut PgConnection, rows: &[(&ResultFile, i32, &ResultRow)]) -> sqlx::Result<()> {
    let ids: Vec<ResultsId> = rows.iter().map(|(file, ..)| file.id).collect();
    let (accounts, environments, hashes) = columns_of(&ids);
    let freshness: Vec<bool> = rows
        .iter()
        .map(|(file, ..)| file.kind != ArtifactKind::RunResults)
        .collect();
    let places: Vec<i32> = rows.iter().map(|(_, place, _)| *place).collect();
    let rows = || rows.iter().map(|(.., row)| *row);
    let unique_ids: Vec<&str> = rows().map(|row| row.unique_id.as_str()).collect();
    let statuses: Vec<&str> = rows().map(|row| row.status.as_str()).collect();
    let attempts: Vec<bool> = rows().map(|row| row.outcome.is_attempt).collect();
    let passed: Vec<bool> = rows().map(|row| row.outcome.has_passed).collect();
    let successes: Vec<bool> = rows().map(|row| row.outcome.is_success).collect();
    let what_failed: Vec<i16> = rows().map(|row| number_of(row.outcome.failure)).collect();
    let at: Vec<DateTime<Utc>> = rows().map(|row| in_microseconds(row.at)).collect();
    let times: Vec<Option<f64>> = rows().map(|row| row.execution_time).collect();
    let failures: Vec<Option<i64>> = rows().map(|row| row.failures).collect();
    let rows_affected: Vec<Option<i64>> = rows().map(|row| row.rows_affected).collect();
    let docs: Vec<&[u8]> = rows().map(|row| row.doc.as_slice()).collect();
    sqlx::query!(
        "INSERT INTO node_results (account_id, environment_id, sha256, place, is_freshness, unique_id, status, is_attempt, has_passed,
            is_success, failure, at, execution_time, failures, rows_affected, doc)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::integer[], $5::boolean[], $6::text[], $7::text[], $8::boolean[],
            $9::boolean[], $10::boolean[], $11::smallint[], $12::timestamptz[], $13::float8[], $14::bigint[], $15::bigint[], $16::bytea[])",
        &accounts,
        &environments,
        &hashes,
        &places,
        &freshness,
        &unique_ids as &[&str],
        &statuses as &[&str],
        &attempts,
        &passed,
        &successes,
        &what_failed,
        &at,
        &times as &[Option<f64>],
        &failures as &[Option<i64>],
        &rows_affected as &[Option<i64>],
        &docs as &[&[u8]],
    )
    .execute(transaction)
    .await?;
    Ok(())
}
