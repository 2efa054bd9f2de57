//! Which migrations a rebuild runs again for the second read model.

use std::collections::BTreeSet;

use read_model::migrations::MIGRATOR;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::Database;

use crate::{NEXT, tables};

/// The setting that a migration of the read model reads, and by which a rebuild recognizes it.
const SETTING: &str = "app.read_model_schema";

/// Everything that a migration can create or alter in the schema `$1`, one line for each object and property. PostgreSQL writes definitions
/// with qualified names.
const OBJECTS: &str = "
    WITH relations AS (SELECT * FROM pg_class WHERE relnamespace = to_regnamespace($1))
    SELECT concat_ws(' ', 'schema', nspowner::regrole, nspacl) FROM pg_namespace WHERE oid = to_regnamespace($1)
    UNION ALL
    SELECT concat_ws(' ', 'relation', relname, relkind, relowner::regrole, relacl, reloptions, relpersistence, relrowsecurity,
        relforcerowsecurity, CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) WHEN 'i' THEN pg_get_indexdef(oid) END)
    FROM relations
    UNION ALL
    SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage,
        attcompression, attstattarget, attacl, attoptions, pg_get_expr(adbin, adrelid))
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT concat_ws(' ', 'constraint', relname, conname, pg_get_constraintdef(c.oid))
    FROM relations r JOIN pg_constraint c ON conrelid = r.oid
    UNION ALL
    SELECT concat_ws(' ', 'policy', relname, polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid),
        pg_get_expr(polwithcheck, polrelid))
    FROM relations r JOIN pg_policy ON polrelid = r.oid
    UNION ALL
    SELECT concat_ws(' ', 'trigger', relname, pg_get_triggerdef(t.oid))
    FROM relations r JOIN pg_trigger t ON tgrelid = r.oid AND NOT tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid)) FROM pg_statistic_ext WHERE stxnamespace = to_regnamespace($1)
    UNION ALL
    SELECT concat_ws(' ', 'function', pg_get_functiondef(oid), proowner::regrole, proacl)
    FROM pg_proc WHERE pronamespace = to_regnamespace($1) AND prokind <> 'a'
    UNION ALL
    SELECT concat_ws(' ', 'type', typname, typtype, pg_get_constraintdef(c.oid)) FROM pg_type t LEFT JOIN pg_constraint c ON contypid = t.oid
    WHERE typnamespace = to_regnamespace($1)";

/// Returns all objects and rows of a schema, with `SCHEMA` in place of its name.
async fn contents(connection: &mut PgConnection, schema: &str) -> BTreeSet<String> {
    let mut lines: Vec<String> = sqlx::query_scalar(OBJECTS)
        .bind(schema)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    for table in tables(connection, schema).await {
        let rows = format!("SELECT concat_ws(' ', 'row', '{table}', to_jsonb(t)) FROM {schema}.{table} t");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        lines.extend(rows);
    }
    lines
        .iter()
        .map(|line| line.replace(&format!("{schema}."), "SCHEMA."))
        .collect()
}

#[tokio::test]
async fn a_migration_that_changes_the_read_model_names_the_setting() {
    let database = Database::create_empty().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    let mut before = contents(&mut connection, "read_model").await;
    let mut changing = 0;
    for migration in MIGRATOR.iter() {
        MIGRATOR.run_to(migration.version, &mut connection).await.unwrap();
        let after = contents(&mut connection, "read_model").await;
        let changed: Vec<&String> = after.symmetric_difference(&before).collect();
        assert!(
            changed.is_empty() || migration.sql.as_str().contains(SETTING),
            "migration {} ({}) changes the read model, but a rebuild does not run it because it does not name {SETTING}: begin it like \
             migrations/20261124000013_airflow.sql, with unqualified names. It changes:\n{changed:#?}",
            migration.version,
            migration.description
        );
        changing += usize::from(!changed.is_empty());
        before = after;
    }
    assert!(changing > 5, "only {changing} migrations change the read model");
}

#[tokio::test]
async fn a_rebuild_creates_what_the_migrations_create() {
    let database = Database::create_empty().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    MIGRATOR.run(&mut connection).await.unwrap();
    let first = contents(&mut connection, "read_model").await;
    read_model::rebuild::create_schema(&mut connection, NEXT).await.unwrap();
    let second = contents(&mut connection, NEXT).await;
    let different: Vec<&String> = first.symmetric_difference(&second).collect();
    assert!(
        different.is_empty(),
        "a migration uses a qualified name or depends on the first read model:\n{different:#?}"
    );
    assert_eq!(
        contents(&mut connection, "read_model").await,
        first,
        "the migrations changed the first read model when they ran again"
    );
}
