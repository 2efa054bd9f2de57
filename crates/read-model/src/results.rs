//! What became of nodes, and the tables that the warehouse has: each content is read once.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Sha256};
use sqlx::PgConnection;

use crate::ids::in_microseconds;

/// How many rows go to the database in one statement.
const BATCH: usize = 2_000;

/// What is kept of a file of results beside the results.
#[derive(Clone, Debug)]
pub struct ResultFile {
    /// The dbt command's name.
    pub which: Option<String>,
    /// The command as it was typed.
    pub command: Option<String>,
    /// In seconds.
    pub elapsed_time: f64,
    /// Whether any result says that something is wrong.
    pub failed: bool,
}

/// A row of `node_results`.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// dbt's id of the node.
    pub unique_id: String,
    /// In small letters.
    pub status: String,
    /// Whether anything was done to the node.
    pub executed: bool,
    /// Whether the status says that something is wrong.
    pub failed: bool,
    /// When it was completed; else when the file was written, or accepted.
    pub at: DateTime<Utc>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// Of a test.
    pub failures: Option<i64>,
    /// As the adapter tells.
    pub rows_affected: Option<i64>,
    /// The result, as [`crate::DocEncoder`] writes it.
    pub doc: Vec<u8>,
}

/// A row of `catalog_nodes`.
#[derive(Clone, Debug)]
pub struct CatalogRow {
    /// Of the entry.
    pub hash: Sha256,
    /// dbt's id of the node.
    pub unique_id: String,
    /// The entry, as [`crate::DocEncoder`] writes it.
    pub doc: Vec<u8>,
}

/// Was this content read before?
///
/// # Errors
/// Those of the database.
pub async fn has_results(
    connection: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    sha256: Sha256,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM result_files WHERE account_id = $1 AND environment_id = $2 AND sha256 = $3) AS "exists!""#,
        account.0,
        environment.0,
        sha256.0.as_slice()
    )
    .fetch_one(connection)
    .await
}

/// Holds the times of a file's results to be no later than the first upload of it: a clock that is ahead must not make them newer than they
/// are. True when they were newer. To be called after each upload of the file was inserted.
///
/// # Errors
/// Those of the database.
pub async fn limit_times(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    sha256: Sha256,
) -> sqlx::Result<bool> {
    let limited = sqlx::query!(
        "WITH first AS (
            SELECT min(event_time) AS time FROM artifacts WHERE account_id = $1 AND environment_id = $2 AND sha256 = $3
         )
         UPDATE node_results SET at = first.time FROM first
         WHERE account_id = $1 AND environment_id = $2 AND sha256 = $3 AND at > first.time",
        account.0,
        environment.0,
        sha256.0.as_slice()
    )
    .execute(transaction)
    .await?;
    Ok(limited.rows_affected() > 0)
}

/// Stores a file's results, unless they are stored.
///
/// # Errors
/// Those of the database.
pub async fn insert_results(
    transaction: &mut PgConnection,
    account: AccountId,
    environment: EnvironmentId,
    sha256: Sha256,
    file: &ResultFile,
    rows: &[ResultRow],
) -> sqlx::Result<()> {
    let inserted = sqlx::query!(
        "INSERT INTO result_files (account_id, environment_id, sha256, which, command, elapsed_time, failed)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        account.0,
        environment.0,
        sha256.0.as_slice(),
        file.which,
        file.command,
        file.elapsed_time,
        file.failed
    )
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(());
    }
    for (batch, rows) in (0..).zip(rows.chunks(BATCH)) {
        let unique_ids: Vec<&str> = rows.iter().map(|row| row.unique_id.as_str()).collect();
        let statuses: Vec<&str> = rows.iter().map(|row| row.status.as_str()).collect();
        let executed: Vec<bool> = rows.iter().map(|row| row.executed).collect();
        let failed: Vec<bool> = rows.iter().map(|row| row.failed).collect();
        let at: Vec<DateTime<Utc>> = rows.iter().map(|row| in_microseconds(row.at)).collect();
        let times: Vec<Option<f64>> = rows.iter().map(|row| row.execution_time).collect();
        let failures: Vec<Option<i64>> = rows.iter().map(|row| row.failures).collect();
        let rows_affected: Vec<Option<i64>> = rows.iter().map(|row| row.rows_affected).collect();
        let docs: Vec<&[u8]> = rows.iter().map(|row| row.doc.as_slice()).collect();
        let first: i32 = batch * i32::try_from(BATCH).unwrap_or(i32::MAX);
        sqlx::query!(
            "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, executed, failed, at,
                execution_time, failures, rows_affected, doc)
             SELECT $1, $2, $3, $4 + r.place::integer - 1, r.unique_id, r.status, r.executed, r.failed, r.at, r.execution_time,
                r.failures, r.rows_affected, r.doc
             FROM unnest($5::text[], $6::text[], $7::boolean[], $8::boolean[], $9::timestamptz[], $10::float8[], $11::bigint[],
                    $12::bigint[], $13::bytea[])
                WITH ORDINALITY AS r (unique_id, status, executed, failed, at, execution_time, failures, rows_affected, doc, place)",
            account.0,
            environment.0,
            sha256.0.as_slice(),
            first,
            &unique_ids as &[&str],
            &statuses as &[&str],
            &executed,
            &failed,
            &at,
            &times as &[Option<f64>],
            &failures as &[Option<i64>],
            &rows_affected as &[Option<i64>],
            &docs as &[&[u8]],
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Was this content read before?
///
/// # Errors
/// Those of the database.
pub async fn has_catalog(connection: &mut PgConnection, account: AccountId, sha256: Sha256) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM catalogs WHERE account_id = $1 AND sha256 = $2) AS "exists!""#,
        account.0,
        sha256.0.as_slice()
    )
    .fetch_one(connection)
    .await
}

/// Stores a catalog, unless it is stored, under [`crate::lock_contents`].
///
/// # Errors
/// Those of the database.
pub async fn insert_catalog(
    transaction: &mut PgConnection,
    account: AccountId,
    sha256: Sha256,
    rows: &[CatalogRow],
) -> sqlx::Result<()> {
    for rows in rows.chunks(BATCH) {
        let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
        let unique_ids: Vec<&str> = rows.iter().map(|row| row.unique_id.as_str()).collect();
        let docs: Vec<&[u8]> = rows.iter().map(|row| row.doc.as_slice()).collect();
        sqlx::query!(
            "INSERT INTO catalog_nodes (account_id, hash, unique_id, doc)
             SELECT $1, n.hash, n.unique_id, n.doc
             FROM unnest($2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY AS n (hash, unique_id, doc, place) ORDER BY n.place
             ON CONFLICT DO NOTHING",
            account.0,
            &hashes as &[&[u8]],
            &unique_ids as &[&str],
            &docs as &[&[u8]],
        )
        .execute(&mut *transaction)
        .await?;
    }
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.0.as_slice()).collect();
    sqlx::query!(
        "INSERT INTO catalogs (account_id, sha256, node_ids)
         SELECT $1, $2, ARRAY(SELECT id FROM catalog_nodes WHERE account_id = $1 AND hash = ANY($3::bytea[]) ORDER BY unique_id, id)
         ON CONFLICT DO NOTHING",
        account.0,
        sha256.0.as_slice(),
        &hashes as &[&[u8]],
    )
    .execute(transaction)
    .await?;
    Ok(())
}
