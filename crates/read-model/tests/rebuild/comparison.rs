//! Which tables `rebuild --verify` compares.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::Database;

use crate::{NEXT, tables};

/// The tables that record the progress of the projector and may differ.
const NOT_COMPARED: [&str; 6] = ["attempts", "dead_letters", "format", "ledger", "removals", "watermark"];

/// Returns an SQL value for a column of this type.
fn value_of(column_type: &str, table: &str) -> &'static str {
    match column_type {
        "bigint" | "integer" | "smallint" | "double precision" => "1",
        "boolean" => "true",
        "bytea" => r"'\x01'",
        "text" => "'text'",
        "timestamp with time zone" => "now()",
        "uuid" => "gen_random_uuid()",
        list if list.ends_with("[]") => "'{}'",
        unknown => panic!("`{table}` has a column of the type {unknown}: add a value for it to `value_of`"),
    }
}

/// Inserts a row of account 1 into a table, with a value in each column.
async fn insert_row(connection: &mut PgConnection, table: &str) {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute
         WHERE attrelid = to_regclass('read_model.' || quote_ident($1))
            AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<&str> = columns.iter().map(|(_, kind)| value_of(kind, table)).collect();
    let insert = format!(
        "INSERT INTO read_model.{table} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        names.join(", "),
        values.join(", ")
    );
    connection.execute(AssertSqlSafe(insert)).await.unwrap();
}

/// A row in every column would violate the checks of some tables.
async fn drop_checks(connection: &mut PgConnection) {
    let drops: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
         WHERE connamespace = 'read_model'::regnamespace AND contype = 'c'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for drop in drops {
        connection.execute(AssertSqlSafe(drop)).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_that_is_missing_in_any_table_is_found() {
    let database = Database::create().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    // As a later migration could create it.
    let create = "CREATE TABLE read_model.added_later (account_id bigint PRIMARY KEY, value text)";
    connection.execute(create).await.unwrap();
    read_model::create_schema(&mut connection, NEXT).await.unwrap();
    let create = "CREATE TABLE read_model_next.added_later (account_id bigint PRIMARY KEY, value text)";
    connection.execute(create).await.unwrap();
    drop_checks(&mut connection).await;
    // Triggers use unqualified names, as all statements of the projector do.
    connection.execute("SET search_path TO read_model").await.unwrap();
    let tables = tables(&mut connection, "read_model").await;
    assert!(tables.len() > 25, "{tables:?}");
    for table in &tables {
        insert_row(&mut connection, table).await;
    }
    let differences = read_model::compare(&mut connection, "read_model", NEXT).await.unwrap();
    let found: BTreeSet<&str> = differences.iter().map(|difference| difference.table.as_str()).collect();
    let expected: BTreeSet<&str> = tables
        .iter()
        .map(String::as_str)
        .filter(|table| !NOT_COMPARED.contains(table))
        .collect();
    assert_eq!(
        found, expected,
        "`rebuild --verify` must compare every table of the read model: see `QUERIES` in crates/read-model/src/compare.rs"
    );
}
