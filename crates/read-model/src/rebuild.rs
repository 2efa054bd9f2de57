//! A second read model next to the first one: how to create it and how to swap the two.

use schemas::EventId;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::migrations::MIGRATOR;
use crate::partitions::partition_like_read_model;

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
    // All of them, since one that is added later may have a lower number than the last.
    let mut migrations = Sha256::new();
    for migration in MIGRATOR.iter() {
        migrations.update(&migration.checksum);
    }
    let version = env!("CARGO_PKG_VERSION");
    format!("made by dbt-api {version}, migrations {:x}", migrations.finalize())
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

/// Helps the rebuild that is running while the connection lives. Returns false if it is about to end.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn join_rebuild(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_lock_shared(hashtextextended('dbt-api rebuild helpers', 0)) AS "joined!""#
    )
    .fetch_one(connection)
    .await
}

/// Prevents others from helping while the connection lives, unless somebody helps. Returns whether nobody did.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn try_end_help(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock(hashtextextended('dbt-api rebuild helpers', 0)) AS "ended!""#)
        .fetch_one(connection)
        .await
}

/// Waits until nobody helps, and prevents others from helping while the connection lives.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn end_help(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_lock(hashtextextended('dbt-api rebuild helpers', 0))")
        .execute(connection)
        .await?;
    Ok(())
}

/// Creates an empty read model in a schema with this name, from the same migrations as the first one, and with partitions if that has some.
/// Requires the database's owner.
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
    partition_like_read_model(&mut transaction, schema).await?;
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

/// Returns the schema that contains the read model of this connection.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn current_schema(connection: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"SELECT current_schema()::text AS "schema!""#)
        .fetch_one(connection)
        .await
}

/// Returns the tables of a schema as `schema.table`, in alphabetical order.
pub(crate) async fn tables_of(connection: &mut PgConnection, schema: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT format('%I.%I', n.nspname, c.relname) AS "name!" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"#,
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

/// Whether the read model in a schema has applied any event.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn has_events(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    let query = format!(
        "SELECT EXISTS (SELECT FROM {schema}.ledger)
            OR EXISTS (SELECT FROM {schema}.dead_letters WHERE dropped_at IS NULL)"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
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

/// Whether [`swap`] failed because of the locks of others, either with a timeout or with a deadlock.
#[must_use]
pub fn is_lock_conflict(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Database(database) => database.code(),
        _ => None,
    };
    code.is_some_and(|code| ["55P03", "57014", "40P01"].contains(&code.as_ref()))
}

/// Replaces the current read model by the one in the schema `next`, and keeps the current one as the schema `old`. Requires a transaction
/// of the database's owner. It waits for active readers, and new readers wait until it ends.
///
/// # Errors
/// Returns an error if a query fails. If readers do not finish in time, [`is_lock_conflict`] is true for the error.
pub async fn swap(transaction: &mut PgConnection, next: &str, old: &str) -> sqlx::Result<()> {
    let tables = tables_of(transaction, "read_model").await?.join(", ");
    // A reader that has used one table and waits for another that is locked here would be a deadlock. PostgreSQL looks for deadlocks after a
    // second (deadlock_timeout) and ends the transaction that looks first. The lock gives up before that, so that no reader is ended.
    transaction
        .execute("SET LOCAL statement_timeout = '700ms'; SET LOCAL lock_timeout = 0")
        .await?;
    transaction
        .execute(AssertSqlSafe(format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")))
        .await?;
    transaction.execute("SET LOCAL statement_timeout = 0").await?;
    let rename = format!("ALTER SCHEMA read_model RENAME TO {old}; ALTER SCHEMA {next} RENAME TO read_model");
    transaction.execute(AssertSqlSafe(rename)).await?;
    // The API may show the data differently than before.
    sqlx::query!("UPDATE directory.account_versions SET version = gen_random_uuid()")
        .execute(transaction)
        .await?;
    Ok(())
}
