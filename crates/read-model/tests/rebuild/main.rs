//! A rebuild creates a second read model and compares it with the first. What it leaves out would be missing without an error.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

mod comparison;
mod indexes;
mod migrations;
mod statistics;

use sqlx::PgConnection;

/// The schema of the second read model.
const NEXT: &str = "read_model_next";

/// Returns the names of the tables in a schema, in alphabetical order.
async fn tables(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname",
    )
    .bind(schema)
    .fetch_all(connection)
    .await
    .unwrap()
}
