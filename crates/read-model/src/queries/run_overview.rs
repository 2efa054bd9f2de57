//! Queries for what happened in a run. Results come as columns, because a run may have tens of thousands.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use sqlx::PgConnection;

use super::artifacts::sha256_of_column;

/// A file of results in a step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFile {
    /// The run.
    pub run_id: i64,
    /// The step.
    pub step_id: i64,
    /// The hash of the file.
    pub sha256: Sha256,
}

/// Returns the files of results of these runs, which are all of one environment.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn result_files(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    runs: &[i64],
) -> sqlx::Result<Vec<ResultFile>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT a.run_id AS "run_id!", a.step_id AS "step_id!", a.sha256 FROM artifacts a
         JOIN result_files f ON f.account_id = $1 AND f.environment_id = $2 AND f.sha256 = a.sha256
         WHERE a.account_id = $1 AND a.environment_id = $2 AND a.run_id = ANY($3) AND a.step_id IS NOT NULL
         ORDER BY 1, 2, 3"#,
        account.0,
        environment.0,
        runs
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ResultFile {
                run_id: row.run_id,
                step_id: row.step_id,
                sha256: sha256_of_column(row.sha256)?,
            })
        })
        .collect()
}

/// The results of some files, each at the same place in all lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultColumns {
    /// The position of the file in the list that was asked for, counted from 1, times 2³²; plus the position in the file, counted from 0.
    pub places: Vec<i64>,
    /// dbt's ids of the nodes.
    pub unique_ids: Vec<String>,
    /// The statuses in lower case.
    pub statuses: Vec<String>,
    /// 1 if the command was supposed to do work on the node or to check its freshness, plus 2 if that failed.
    pub flags: Vec<i16>,
    /// When the node was completed.
    pub at: Vec<DateTime<Utc>>,
    /// The execution times, in seconds, or 0.
    pub seconds: Vec<f64>,
}

/// Returns at most `limit` results of these files of an environment, those of the first files.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn result_columns(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    files: &[ResultFile],
    limit: i64,
) -> sqlx::Result<ResultColumns> {
    let hashes: Vec<&[u8]> = files.iter().map(|file| file.sha256.0.as_slice()).collect();
    sqlx::query_as!(
        ResultColumns,
        r#"SELECT coalesce(array_agg((file << 32) + place), '{}') AS "places!",
            coalesce(array_agg(unique_id), '{}') AS "unique_ids!", coalesce(array_agg(status), '{}') AS "statuses!",
            coalesce(array_agg((CASE WHEN is_attempt OR is_freshness THEN 1 ELSE 0 END
                + CASE WHEN failure <> 0 AND status <> 'skipped' THEN 2 ELSE 0 END)::smallint), '{}') AS "flags!", coalesce(array_agg(at), '{}') AS "at!",
            coalesce(array_agg(coalesce(execution_time, 0)), '{}') AS "seconds!"
         FROM (
            SELECT u.file, n.place, n.unique_id, n.status, n.is_attempt, n.is_freshness, n.failure, n.at, n.execution_time
            FROM unnest($3::bytea[]) WITH ORDINALITY AS u (sha256, file)
            CROSS JOIN LATERAL (
                SELECT * FROM node_results r WHERE r.account_id = $1 AND r.environment_id = $2 AND r.sha256 = u.sha256
                ORDER BY r.place LIMIT $4
            ) n
            ORDER BY u.file LIMIT $4
         ) n"#,
        account.0,
        environment.0,
        &hashes as &[&[u8]],
        limit
    )
    .fetch_one(connection)
    .await
}

/// Returns the results at these places of files, to be read with [`crate::doc::decode_doc`], in the same order. A result that is not there any more
/// is left out.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn result_docs(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    places: &[(Sha256, i32)],
) -> sqlx::Result<Vec<(usize, Vec<u8>)>> {
    let hashes: Vec<&[u8]> = places.iter().map(|(hash, _)| hash.0.as_slice()).collect();
    let in_file: Vec<i32> = places.iter().map(|(_, place)| *place).collect();
    let rows = sqlx::query!(
        r#"SELECT u.rank AS "rank!", n.doc FROM unnest($3::bytea[], $4::int[]) WITH ORDINALITY AS u (sha256, place, rank)
         JOIN node_results n ON n.account_id = $1 AND n.environment_id = $2 AND n.sha256 = u.sha256 AND n.place = u.place
         ORDER BY u.rank"#,
        account.0,
        environment.0,
        &hashes as &[&[u8]],
        &in_file
    )
    .fetch_all(connection)
    .await?;
    let rank = |rank: i64| usize::try_from(rank - 1).unwrap_or_default();
    Ok(rows.into_iter().map(|row| (rank(row.rank), row.doc)).collect())
}

/// Returns the dependencies of the nodes of a node set that have these resource types, and of the nodes with these ids: the nodes, and
/// at the same place what each depends on. A node with several dependencies is there several times, one without is not there.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn dependencies(
    connection: &mut PgConnection,
    account: AccountId,
    node_set: Sha256,
    resource_types: &[&str],
    unique_ids: &[&str],
) -> sqlx::Result<(Vec<String>, Vec<String>)> {
    // Of the nodes with these ids, older definitions count too, since the right one would take long to find: they rarely depend on others.
    let row = sqlx::query!(
        r#"SELECT coalesce(array_agg(e.child), '{}') AS "children!", coalesce(array_agg(e.parent), '{}') AS "parents!"
         FROM (
            SELECT n.unique_id AS child, d.unique_id AS parent
            FROM node_sets s CROSS JOIN unnest(s.node_ids) AS u (id)
            JOIN nodes n ON n.account_id = s.account_id AND n.id = u.id
            CROSS JOIN unnest(n.depends_on) AS d (unique_id)
            WHERE s.account_id = $1 AND s.hash = $2 AND s.resource_type = ANY($3)
            UNION ALL
            SELECT n.unique_id, d.unique_id
            FROM unnest($4::text[]) AS u (unique_id)
            JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5(u.unique_id) AND n.unique_id = u.unique_id
            CROSS JOIN unnest(n.depends_on) AS d (unique_id)
         ) e"#,
        account.0,
        node_set.0.as_slice(),
        resource_types as &[&str],
        unique_ids as &[&str]
    )
    .fetch_one(connection)
    .await?;
    Ok((row.children, row.parents))
}

/// Returns the compiled code of these nodes in the manifests of a run, by dbt's ids, to be read with [`crate::doc::decode_doc`]. The newest manifest
/// that has a code of the node counts.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compiled_codes(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
    unique_ids: &[String],
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (u.unique_id) u.unique_id AS "unique_id!", t.text
         FROM unnest($3::text[]) AS u (unique_id)
         JOIN nodes n ON n.account_id = $1 AND md5(n.unique_id) = md5(u.unique_id) AND n.unique_id = u.unique_id
         JOIN artifacts a ON a.account_id = $1 AND a.run_id = $2 AND a.kind = 'manifest'
         JOIN manifests m ON m.account_id = $1 AND m.sha256 = a.sha256
         JOIN node_sets s ON s.account_id = $1 AND s.hash = m.node_set AND s.resource_type = n.resource_type
         JOIN text_sets k ON k.account_id = $1 AND k.hash = m.compiled_set AND k.resource_type = n.resource_type
         JOIN texts t ON t.account_id = $1 AND t.id = k.text_ids[array_position(s.node_ids, n.id)]
         ORDER BY u.unique_id, a.done_at DESC, a.event_id DESC, a.place DESC"#,
        account.0,
        run.0,
        unique_ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.unique_id, row.text)).collect())
}

/// When a node last succeeded before an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSuccess {
    /// dbt's id of the node.
    pub unique_id: String,
    /// When the success ended.
    pub at: DateTime<Utc>,
    /// The run of the success.
    pub run_id: Option<i64>,
}

/// Returns the last success of each of these nodes of an environment before the time at the same place.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_successes(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    unique_ids: &[String],
    before: &[DateTime<Utc>],
) -> sqlx::Result<Vec<LastSuccess>> {
    sqlx::query_as!(
        LastSuccess,
        r#"SELECT u.unique_id AS "unique_id!", n.at, a.run_id AS "run_id?"
         FROM unnest($3::text[], $4::timestamptz[]) AS u (unique_id, before)
         CROSS JOIN LATERAL (
            SELECT r.at, r.sha256 FROM node_results r
            WHERE r.account_id = $1 AND r.environment_id = $2 AND r.is_attempt AND r.is_success
                AND md5(r.unique_id) = md5(u.unique_id) AND r.unique_id = u.unique_id AND r.at < u.before
            ORDER BY r.at DESC LIMIT 1
         ) n
         LEFT JOIN LATERAL (
            SELECT a.run_id FROM artifacts a WHERE a.account_id = $1 AND a.environment_id = $2 AND a.sha256 = n.sha256
                AND a.run_id IS NOT NULL ORDER BY a.event_time, a.event_id LIMIT 1
         ) a ON true"#,
        account.0,
        environment.0,
        unique_ids,
        before
    )
    .fetch_all(connection)
    .await
}

/// Returns the number of the run of a job before this one, of those that ended.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn run_before(
    connection: &mut PgConnection,
    account: AccountId,
    job: i64,
    run: RunId,
) -> sqlx::Result<Option<i64>> {
    // From 10 on (`RunStatus::Success`) a run has ended.
    sqlx::query_scalar!(
        "SELECT id FROM runs WHERE account_id = $1 AND job_id = $2 AND id < $3 AND status >= 10 ORDER BY id DESC LIMIT 1",
        account.0,
        job,
        run.0
    )
    .fetch_optional(connection)
    .await
}

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOfRun {
    /// The step that has it.
    pub step_id: Option<i64>,
    /// Its name, such as `manifest.json`.
    pub name: String,
    /// The size as uploaded, in bytes.
    pub size: i64,
}

/// Returns the newest file of each name in each step of a run.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn files_of_run(
    connection: &mut PgConnection,
    account: AccountId,
    run: RunId,
) -> sqlx::Result<Vec<FileOfRun>> {
    sqlx::query_as!(
        FileOfRun,
        "SELECT DISTINCT ON (step_id, name) step_id, name, size FROM artifacts WHERE account_id = $1 AND run_id = $2
         ORDER BY step_id, name, done_at DESC, event_id DESC, place DESC",
        account.0,
        run.0
    )
    .fetch_all(connection)
    .await
}
