//! Compares two read models.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures_util::{Stream, TryStreamExt};
use schemas::Sha256;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::doc::decode_doc;
use crate::rebuild::tables_of;

/// The tables that are not compared. They record what the projector has done so far, and not what the events say.
const NOT_COMPARED: [&str; 6] = ["attempts", "dead_letters", "format", "ledger", "removals", "watermark"];

/// The tables with a query of their own. All other tables are compared by all their columns. Each query returns the account, the row with
/// internal ids replaced by what they refer to, and the compressed document or null. `{schema}` is replaced by the schema that contains the
/// table, and `{columns}` by all columns except those that are named before the query: a new column is compared.
const QUERIES: [(&str, &[&str], &str); 11] = [
    ("current_node_sets", &["spare"], "SELECT t.account_id, {columns}::text, NULL::bytea FROM {schema}.current_node_sets t"),
    ("aspect_sets", &["id"], "SELECT t.account_id, {columns}::text, NULL::bytea FROM {schema}.aspect_sets t"),
    // When a head was pointed depends on the order of the events, as long as its content stays the same.
    ("aspect_heads", &["content_id", "pointed_at"], "SELECT t.account_id, concat_ws(' ', {columns}, x.hash, c.hash), NULL::bytea
         FROM {schema}.aspect_heads t LEFT JOIN {schema}.texts x ON t.aspect = 'compiled_code' AND x.id = t.content_id
            LEFT JOIN {schema}.catalog_nodes c ON t.aspect = 'catalog' AND c.id = t.content_id",
    ),
    ("run_counts", &[], "SELECT t.account_id, {columns}::text, NULL::bytea FROM {schema}.run_counts t WHERE t.runs <> 0"),
    ("node_results", &["doc"], "SELECT t.account_id, {columns}::text, t.doc FROM {schema}.node_results t"),
    ("nodes", &["doc", "id"], "SELECT t.account_id, {columns}::text, t.doc FROM {schema}.nodes t"),
    ("catalog_nodes", &["doc", "id"], "SELECT t.account_id, {columns}::text, t.doc FROM {schema}.catalog_nodes t"),
    ("node_sets", &["node_ids"], "SELECT t.account_id, concat_ws(' ', {columns}, (SELECT sha256(string_agg(coalesce(n.hash, decode('00', 'hex')), ''::bytea ORDER BY u.place))
            FROM unnest(t.node_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.nodes n ON n.id = u.id)), NULL::bytea
         FROM {schema}.node_sets t
         WHERE EXISTS (SELECT FROM {schema}.manifests m WHERE m.account_id = t.account_id AND m.node_set = t.hash)
            OR EXISTS (SELECT FROM {schema}.current_node_sets c WHERE c.account_id = t.account_id AND c.hash = t.hash)",
    ),
    ("text_sets", &["text_ids"], "SELECT t.account_id, concat_ws(' ', {columns}, (SELECT sha256(string_agg(coalesce(x.hash, decode('00', 'hex')), ''::bytea ORDER BY u.place))
            FROM unnest(t.text_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.texts x ON x.id = u.id)), NULL::bytea
         FROM {schema}.text_sets t",
    ),
    ("catalog_sets", &["node_ids"], "SELECT t.account_id, concat_ws(' ', {columns}, (SELECT sha256(string_agg(coalesce(n.hash, decode('00', 'hex')), ''::bytea ORDER BY u.place))
            FROM unnest(t.node_ids) WITH ORDINALITY AS u (id, place) LEFT JOIN {schema}.catalog_nodes n ON n.id = u.id)), NULL::bytea
         FROM {schema}.catalog_sets t",
    ),
    ("texts", &["text", "id"], "SELECT t.account_id, {columns}::text, t.text FROM {schema}.texts t"),
];

/// The most rows that are looked at for examples, in each table of each read model.
const MAX_EXAMPLES: usize = 10_000;

/// A table that differs for an account between two read models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The name of the table.
    pub table: String,
    /// The account's number.
    pub account_id: i64,
    /// The number of rows in the first read model, which the database has, without an equal row in the second.
    pub only_in_database: usize,
    /// The number of rows in the second read model, which was built from the bucket, without an equal row in the first.
    pub only_in_bucket: usize,
    /// The columns that differ between the two examples. Empty if there is only one, or if only what the rows refer to or their documents differ.
    pub columns: Vec<String>,
    /// One of the rows that are only in the database, without its document.
    pub database: Option<Value>,
    /// The row that is most like it of those that are only in the bucket.
    pub bucket: Option<Value>,
}

impl Difference {
    fn of(table: &str, account_id: i64) -> Self {
        Self {
            table: table.to_owned(),
            account_id,
            only_in_database: 0,
            only_in_bucket: 0,
            columns: Vec::new(),
            database: None,
            bucket: None,
        }
    }

    /// Keeps a row as an example, if it is a better one.
    fn offer(&mut self, is_before: bool, row: Value) {
        if is_before {
            self.database.get_or_insert(row);
            return;
        }
        let likeness = |row: &Value| self.database.as_ref().map_or(0, |other| equal_columns(other, row));
        if self.bucket.as_ref().is_none_or(|kept| likeness(&row) > likeness(kept)) {
            self.bucket = Some(row);
        }
    }

    /// Names the columns that differ between the examples.
    fn name_columns(&mut self) {
        if let (Some(Value::Object(one)), Some(Value::Object(other))) = (&self.database, &self.bucket) {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let differing = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
            self.columns = differing.cloned().collect();
        }
    }
}

fn equal_columns(one: &Value, other: &Value) -> usize {
    let columns = one.as_object().into_iter().flatten();
    columns
        .filter(|(name, value)| other.get(name.as_str()) == Some(*value))
        .count()
}

/// A row as an object of its columns. What follows them stands for what the row refers to.
fn object_of_row(text: &str) -> Value {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Object(mut columns))) => {
            let rest = text.get(values.byte_offset()..).unwrap_or_default().trim();
            if !rest.is_empty() {
                columns.insert("refers_to".to_owned(), rest.into());
            }
            Value::Object(columns)
        }
        _ => serde_json::json!({ "row": text }),
    }
}

/// Compares two read models by natural key and content, ignoring internal ids and the compression of documents. Nothing may write to either
/// of them meanwhile. Every table of `before` is compared, except the few that record the progress of the projector.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn compare(connection: &mut PgConnection, before: &str, after: &str) -> sqlx::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (table, query) in compared_tables(connection, before).await? {
        let sums = sum_up(connection, &query, before).await?;
        let accounts = accounts_that_differ(&sums, &sum_up(connection, &query, after).await?);
        if accounts.is_empty() {
            continue;
        }
        let query = of_accounts(&query, &accounts);
        let mut rows: BTreeMap<(i64, Sha256), i64> = BTreeMap::new();
        count_rows(connection, &query, before, &mut rows, 1).await?;
        count_rows(connection, &query, after, &mut rows, -1).await?;
        let mut found: BTreeMap<i64, Difference> = BTreeMap::new();
        for ((account_id, _), count) in &rows {
            let difference = found
                .entry(*account_id)
                .or_insert_with(|| Difference::of(&table, *account_id));
            let rows = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if *count > 0 {
                difference.only_in_database += rows;
            } else {
                difference.only_in_bucket += rows;
            }
        }
        for (schema, is_before) in [(before, true), (after, false)] {
            find_examples(connection, &query, schema, &rows, |account, row| {
                if let Some(difference) = found.get_mut(&account) {
                    difference.offer(is_before, row);
                }
            })
            .await?;
        }
        found.values_mut().for_each(Difference::name_columns);
        differences.extend(found.into_values());
    }
    Ok(differences)
}

/// Returns the tables of a schema that are compared, each with its query.
async fn compared_tables(connection: &mut PgConnection, schema: &str) -> sqlx::Result<Vec<(String, String)>> {
    let mut compared = Vec::new();
    for qualified in tables_of(connection, schema).await? {
        let table = qualified.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.'));
        let table = table.unwrap_or(&qualified);
        if NOT_COMPARED.contains(&table) {
            continue;
        }
        let query = match QUERIES.iter().find(|(name, ..)| *name == table) {
            Some((_, left_out, query)) => {
                let columns = columns_of(connection, &qualified, left_out).await?;
                query.replace("{columns}", &columns)
            }
            None => format!("SELECT t.account_id, to_jsonb(t)::text, NULL::bytea FROM {{schema}}.{table} t"),
        };
        compared.push((table.to_owned(), query));
    }
    Ok(compared)
}

/// Returns an expression for the columns of a table, without those that are left out. They are not read at all, since some are large.
async fn columns_of(connection: &mut PgConnection, table: &str, left_out: &[&str]) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"SELECT format('jsonb_build_object(%s)', string_agg(format('%L, t.%I', attname, attname), ', ' ORDER BY attname)) AS "columns!"
         FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL ($2::text[])"#,
        table,
        left_out as &[&str]
    )
    .fetch_one(connection)
    .await
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

/// Passes on rows that differ, at most [`MAX_EXAMPLES`], with their account.
async fn find_examples(
    connection: &mut PgConnection,
    query: &str,
    schema: &str,
    counts: &BTreeMap<(i64, Sha256), i64>,
    mut offer: impl FnMut(i64, Value),
) -> sqlx::Result<()> {
    let mut rows = pin!(rows_of(connection, query, schema));
    let mut left = MAX_EXAMPLES;
    while left > 0
        && let Some(row) = rows.try_next().await?
    {
        let (account, hash, text) = hash_of_row(&row)?;
        if counts.contains_key(&(account, hash)) {
            offer(account, object_of_row(&text));
            left -= 1;
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
