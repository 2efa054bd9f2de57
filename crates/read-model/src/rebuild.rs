//! A second read model next to the first one: how to create it, compare the two, and swap them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures_util::{Stream, TryStreamExt};
use schemas::{EventId, Sha256};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::{MIGRATOR, decode_doc};

/// The tables to compare. Each query returns the account, the row with internal ids replaced by what they refer to, and the compressed
/// document or null. `{schema}` is replaced by the schema that contains the table.
const TABLES: [(&str, &str); 23] = [
    ("jobs", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.jobs t"),
    ("runs", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.runs t"),
    ("run_steps", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.run_steps t"),
    ("artifacts", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.artifacts t"),
    ("current_node_sets", "SELECT t.account_id, (to_jsonb(t) - 'spare')::text, NULL::bytea FROM {schema}.current_node_sets t"),
    ("retired_projects", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.retired_projects t"),
    ("aspect_sets", "SELECT t.account_id, (to_jsonb(t) - 'id')::text, NULL::bytea FROM {schema}.aspect_sets t"),
    (
        "aspect_heads",
        "SELECT t.account_id, concat_ws(' ', t.environment_id, t.aspect, t.node_md5, x.hash, c.hash), NULL::bytea
         FROM {schema}.aspect_heads t LEFT JOIN {schema}.texts x ON t.aspect = 'compiled_code' AND x.id = t.content_id
            LEFT JOIN {schema}.catalog_nodes c ON t.aspect = 'catalog' AND c.id = t.content_id",
    ),
    ("airflow_runs", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.airflow_runs t"),
    ("files", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.files t"),
    ("file_deletions", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.file_deletions t"),
    ("pruned_uploads", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.pruned_uploads t"),
    ("manifests", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.manifests t"),
    ("quarantined_nodes", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.quarantined_nodes t"),
    ("result_files", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.result_files t"),
    ("run_counts", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.run_counts t WHERE t.runs <> 0"),
    ("node_results", "SELECT t.account_id, (to_jsonb(t) - 'doc')::text, t.doc FROM {schema}.node_results t"),
    ("nodes", "SELECT t.account_id, (to_jsonb(t) - 'doc' - 'id')::text, t.doc FROM {schema}.nodes t"),
    ("catalog_nodes", "SELECT t.account_id, (to_jsonb(t) - 'doc' - 'id')::text, t.doc FROM {schema}.catalog_nodes t"),
    (
        "node_sets",
        "SELECT t.account_id, concat_ws(' ', t.hash, t.resource_type, (SELECT string_agg(n.hash::text, ',' ORDER BY u.place)
            FROM unnest(t.node_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.nodes n ON n.id = u.id)), NULL::bytea
         FROM {schema}.node_sets t
         WHERE EXISTS (SELECT FROM {schema}.manifests m WHERE m.account_id = t.account_id AND m.node_set = t.hash)
            OR EXISTS (SELECT FROM {schema}.current_node_sets c WHERE c.account_id = t.account_id AND c.hash = t.hash)",
    ),
    (
        "text_sets",
        "SELECT t.account_id, concat_ws(' ', t.hash, t.resource_type, (SELECT string_agg(coalesce(x.hash::text, '-'), ',' ORDER BY u.place)
            FROM unnest(t.text_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.texts x ON x.id = u.id)), NULL::bytea
         FROM {schema}.text_sets t",
    ),
    ("catalogs", "SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {schema}.catalogs t"),
    (
        "catalog_sets",
        "SELECT t.account_id, concat_ws(' ', t.hash, (SELECT string_agg(n.hash::text, ',' ORDER BY u.place)
            FROM unnest(t.node_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.catalog_nodes n ON n.id = u.id)), NULL::bytea
         FROM {schema}.catalog_sets t",
    ),
];

/// The table of compressed texts. Each row consists of nothing but its text.
const TEXTS: (&str, &str) = (
    "texts",
    "SELECT t.account_id, t.hash::text, t.text FROM {schema}.texts t",
);

/// A table that differs for an account between two read models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The name of the table.
    pub table: &'static str,
    /// The account's number.
    pub account_id: i64,
    /// The number of rows in the first read model without an equal row in the second.
    pub only_before: usize,
    /// The number of rows in the second read model without an equal row in the first.
    pub only_after: usize,
    /// One of these rows, without its document.
    pub example: String,
}

/// Returns the search path that points all statements at the read model in this schema.
#[must_use]
pub fn search_path(schema: &str) -> String {
    format!("{schema},ids,directory,public")
}

/// Whether the schema exists.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn has_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS "exists!""#,
        schema
    )
    .fetch_one(connection)
    .await
}

/// Identifies the version that creates a schema. A rebuild that one version began is not continued by another, which may read artifacts
/// differently.
fn maker() -> String {
    let migration = MIGRATOR.iter().map(|migration| migration.version).max();
    format!(
        "made by dbt-api {}, migration {}",
        env!("CARGO_PKG_VERSION"),
        migration.unwrap_or(0)
    )
}

/// Whether this version of dbt-api created the schema.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn is_of_this_version(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    let comment = sqlx::query_scalar!("SELECT obj_description(to_regnamespace($1), 'pg_namespace')", schema)
        .fetch_one(connection)
        .await?;
    Ok(comment == Some(maker()))
}

/// Prevents other rebuilds while the connection lives. Returns false if another rebuild is running.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_rebuild(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock(hashtextextended('dbt-api rebuild', 0)) AS "is_mine!""#)
        .fetch_one(connection)
        .await
}

/// Creates an empty read model in a schema with this name, from the same migrations as the first one. Requires the database's owner.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn create_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    let create = format!("CREATE SCHEMA {schema} AUTHORIZATION dbt_api_projector");
    transaction.execute(AssertSqlSafe(create)).await?;
    sqlx::query!("SELECT set_config('app.read_model_schema', $1, true)", schema)
        .fetch_one(&mut *transaction)
        .await?;
    for migration in MIGRATOR.iter() {
        let sql = migration.sql.as_str();
        if sql.contains("app.read_model_schema") {
            transaction.execute(AssertSqlSafe(sql.to_owned())).await?;
        }
    }
    let comment = format!("COMMENT ON SCHEMA {schema} IS '{}'", maker());
    transaction.execute(AssertSqlSafe(comment)).await?;
    transaction.commit().await
}

/// Copies the dropped dead letters, because the journal does not record them.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn copy_dropped(connection: &mut PgConnection, from: &str, to: &str) -> sqlx::Result<()> {
    let columns = "event_id, account_id, event_type, event_time, cause, died_at, dropped_at";
    let copy = format!(
        "INSERT INTO {to}.dead_letters ({columns}) SELECT {columns} FROM {from}.dead_letters WHERE dropped_at IS NOT NULL
         ON CONFLICT (event_id) DO UPDATE SET dropped_at = excluded.dropped_at"
    );
    connection.execute(AssertSqlSafe(copy)).await?;
    Ok(())
}

/// Updates the planner's statistics for the tables of a schema.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn analyze(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let analyze = format!("ANALYZE {}", tables_of(connection, schema).await?.join(", "));
    connection.execute(AssertSqlSafe(analyze)).await?;
    Ok(())
}

async fn tables_of(connection: &mut PgConnection, schema: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT format('%I.%I', schemaname, tablename) AS "name!" FROM pg_tables WHERE schemaname = $1 ORDER BY 1"#,
        schema
    )
    .fetch_all(connection)
    .await
}

/// Drops a schema and everything in it, if it exists. Requires the database's owner.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn drop_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    connection.execute(AssertSqlSafe(drop)).await?;
    Ok(())
}

/// Returns the events that the schema `there` has processed and the schema `here` has not.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn missing_in(connection: &mut PgConnection, here: &str, there: &str) -> sqlx::Result<Vec<EventId>> {
    let processed = |schema: &str| {
        format!("(SELECT event_id FROM {schema}.ledger UNION SELECT event_id FROM {schema}.dead_letters)")
    };
    let query = format!("{} EXCEPT {}", processed(there), processed(here));
    let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await?;
    Ok(ids.into_iter().map(EventId).collect())
}

/// Prevents all writes to the read model until the transaction ends. Reading remains possible.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn lock_read_model(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('dbt-api read model read_model', 0))")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Whether a statement failed because of the locks of others, either with a timeout or with a deadlock.
#[must_use]
pub fn is_lock_conflict(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Database(database) => database.code(),
        _ => None,
    };
    code.is_some_and(|code| ["55P03", "40P01"].contains(&code.as_ref()))
}

/// Compares two read models by natural key and content, ignoring internal ids and the compression of documents. Nothing may write to either
/// of them meanwhile.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compare(connection: &mut PgConnection, before: &str, after: &str) -> sqlx::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (table, query) in TABLES.into_iter().chain([TEXTS]) {
        let sums = sum_up(connection, query, before).await?;
        let accounts = accounts_that_differ(&sums, &sum_up(connection, query, after).await?);
        if accounts.is_empty() {
            continue;
        }
        let query = of_accounts(query, &accounts);
        let mut rows: BTreeMap<(i64, Sha256), i64> = BTreeMap::new();
        count_rows(connection, &query, before, &mut rows, 1).await?;
        count_rows(connection, &query, after, &mut rows, -1).await?;
        let mut found: BTreeMap<i64, Difference> = BTreeMap::new();
        for ((account_id, _), count) in &rows {
            let difference = found.entry(*account_id).or_insert_with(|| Difference {
                table,
                account_id: *account_id,
                only_before: 0,
                only_after: 0,
                example: String::new(),
            });
            let rows = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if *count > 0 {
                difference.only_before += rows;
            } else {
                difference.only_after += rows;
            }
        }
        for schema in [before, after] {
            find_examples(connection, &query, schema, &rows, &mut found).await?;
        }
        differences.extend(found.into_values());
    }
    Ok(differences)
}

/// Streams the rows of a table.
fn rows_of<'c>(
    connection: &'c mut PgConnection,
    query: &str,
    schema: &str,
) -> impl Stream<Item = sqlx::Result<PgRow>> + use<'c> {
    sqlx::query(AssertSqlSafe(query.replace("{schema}", schema))).fetch(connection)
}

/// Returns the number of rows of each account in a table, and the sum of their hashes, which does not depend on their order.
async fn sum_up(connection: &mut PgConnection, query: &str, schema: &str) -> sqlx::Result<Sums> {
    let mut sums = Sums::new();
    let mut rows = pin!(rows_of(connection, query, schema));
    while let Some(row) = rows.try_next().await? {
        let (account, Sha256(hash), _) = hash_of_row(&row)?;
        let (count, sum) = sums.entry(account).or_default();
        *count += 1;
        let half = hash
            .iter()
            .take(16)
            .fold(0, |number, byte| number << 8 | u128::from(*byte));
        *sum = sum.wrapping_add(half);
    }
    Ok(sums)
}

type Sums = BTreeMap<i64, (u64, u128)>;

fn accounts_that_differ(before: &Sums, after: &Sums) -> Vec<i64> {
    let all: BTreeSet<i64> = before.keys().chain(after.keys()).copied().collect();
    all.into_iter()
        .filter(|account| before.get(account) != after.get(account))
        .collect()
}

/// Restricts the query to the rows of these accounts.
fn of_accounts(query: &str, accounts: &[i64]) -> String {
    let accounts: Vec<String> = accounts.iter().map(i64::to_string).collect();
    format!(
        "SELECT * FROM ({query}) AS t (account_id, content, doc) WHERE account_id IN ({})",
        accounts.join(", ")
    )
}

/// Adds `weight` to the count of each row. Rows that are in both read models cancel out.
async fn count_rows(
    connection: &mut PgConnection,
    query: &str,
    schema: &str,
    counts: &mut BTreeMap<(i64, Sha256), i64>,
    weight: i64,
) -> sqlx::Result<()> {
    let mut rows = pin!(rows_of(connection, query, schema));
    while let Some(row) = rows.try_next().await? {
        let (account, hash, _) = hash_of_row(&row)?;
        let count = counts.entry((account, hash)).or_default();
        *count += weight;
        if *count == 0 {
            counts.remove(&(account, hash));
        }
    }
    Ok(())
}

async fn find_examples(
    connection: &mut PgConnection,
    query: &str,
    schema: &str,
    counts: &BTreeMap<(i64, Sha256), i64>,
    differences: &mut BTreeMap<i64, Difference>,
) -> sqlx::Result<()> {
    let mut rows = pin!(rows_of(connection, query, schema));
    while let Some(row) = rows.try_next().await? {
        let (account, hash, text) = hash_of_row(&row)?;
        if counts.contains_key(&(account, hash))
            && let Some(difference) = differences.get_mut(&account)
            && difference.example.is_empty()
        {
            difference.example = format!("{schema}: {}", text.chars().take(300).collect::<String>());
        }
    }
    Ok(())
}

/// Returns the account, the hash of the row and its text.
fn hash_of_row(row: &PgRow) -> sqlx::Result<(i64, Sha256, String)> {
    let (account, text): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let doc: Option<Vec<u8>> = row.try_get(2)?;
    let mut bytes = text.clone().into_bytes();
    if let Some(doc) = doc {
        match decode_doc(&doc) {
            Ok(doc) => bytes.extend(doc),
            // A document that cannot be decompressed equals only itself.
            Err(_) => bytes.extend(doc),
        }
    }
    Ok((account, Sha256::of(&bytes), text))
}

/// Replaces the current read model by the one in the schema `next`, and keeps the current one as the schema `old`. Requires a transaction
/// of the database's owner. It waits for active readers, and new readers wait until it ends.
///
/// # Errors
/// Returns an error if a query fails. If readers do not finish in time, [`is_lock_conflict`] is true for the error.
pub async fn swap(transaction: &mut PgConnection, next: &str, old: &str) -> sqlx::Result<()> {
    let lock = format!(
        "SET LOCAL lock_timeout = '3s'; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        tables_of(transaction, "read_model").await?.join(", ")
    );
    transaction.execute(AssertSqlSafe(lock)).await?;
    let rename = format!("ALTER SCHEMA read_model RENAME TO {old}; ALTER SCHEMA {next} RENAME TO read_model");
    transaction.execute(AssertSqlSafe(rename)).await?;
    // The API may show the data differently than before.
    sqlx::query!("UPDATE directory.account_versions SET version = gen_random_uuid()")
        .execute(transaction)
        .await?;
    Ok(())
}
