//! Which tables and columns `rebuild --verify` compares.

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
        "timestamp with time zone" => "'2026-11-28T12:00:00Z'",
        "uuid" => "'01989f0e-5c40-7a3b-8f2d-0123456789ab'",
        list if list.ends_with("[]") => "'{}'",
        unknown => panic!("`{table}` has a column of the type {unknown}: add a value for it to `value_of`"),
    }
}

/// Inserts a row of account 1 into a table, with a value in each column.
async fn insert_row(connection: &mut PgConnection, schema: &str, table: &str) {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute
         WHERE attrelid = to_regclass(quote_ident($1) || '.' || quote_ident($2))
            AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
    )
    .bind(schema)
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<&str> = columns.iter().map(|(_, kind)| value_of(kind, table)).collect();
    let insert = format!(
        "INSERT INTO {schema}.{table} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        names.join(", "),
        values.join(", ")
    );
    connection.execute(AssertSqlSafe(insert)).await.unwrap();
}

/// A row in every column would violate the checks of some tables.
async fn drop_checks(connection: &mut PgConnection) {
    let drops: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
         WHERE connamespace IN (to_regnamespace('read_model'), to_regnamespace($1)) AND contype = 'c' AND coninhcount = 0",
    )
    .bind(NEXT)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for drop in drops {
        connection.execute(AssertSqlSafe(drop)).await.unwrap();
    }
}

/// As later migrations could add it to the tables that have a query of their own.
#[tokio::test]
async fn a_column_that_is_added_later_is_compared() {
    let database = Database::create().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    read_model::rebuild::create_schema(&mut connection, NEXT).await.unwrap();
    drop_checks(&mut connection).await;
    let mut compared = tables(&mut connection, "read_model").await;
    compared.retain(|table| !NOT_COMPARED.contains(&table.as_str()));
    for (schema, path) in [
        ("read_model", "SET search_path TO read_model"),
        (NEXT, "SET search_path TO read_model_next"),
    ] {
        connection.execute(path).await.unwrap();
        for table in &compared {
            insert_row(&mut connection, schema, table).await;
        }
    }
    let compare = read_model::compare::compare;
    assert_eq!(compare(&mut connection, "read_model", NEXT).await.unwrap(), []);
    for schema in ["read_model", NEXT] {
        for table in &compared {
            let add = format!("ALTER TABLE {schema}.{table} ADD COLUMN added_later text DEFAULT '{schema}'");
            connection.execute(AssertSqlSafe(add)).await.unwrap();
        }
    }
    let differences = compare(&mut connection, "read_model", NEXT).await.unwrap();
    let found: BTreeSet<&str> = differences.iter().map(|difference| difference.table.as_str()).collect();
    let expected: BTreeSet<&str> = compared.iter().map(String::as_str).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_row_that_is_missing_in_any_table_is_found() {
    let database = Database::create().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    // As a later migration could create it.
    let create = "CREATE TABLE read_model.added_later (account_id bigint PRIMARY KEY, value text)";
    connection.execute(create).await.unwrap();
    read_model::rebuild::create_schema(&mut connection, NEXT).await.unwrap();
    let create = "CREATE TABLE read_model_next.added_later (account_id bigint PRIMARY KEY, value text)";
    connection.execute(create).await.unwrap();
    drop_checks(&mut connection).await;
    // Triggers use unqualified names, as all statements of the projector do.
    connection.execute("SET search_path TO read_model").await.unwrap();
    let tables = tables(&mut connection, "read_model").await;
    assert!(tables.len() > 25, "{tables:?}");
    for table in &tables {
        insert_row(&mut connection, "read_model", table).await;
    }
    let differences = read_model::compare::compare(&mut connection, "read_model", NEXT)
        .await
        .unwrap();
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
