//! Creates the roles and the tables, and updates them.

use std::collections::HashSet;

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Executor, PgConnection, SqlSafeStr};

/// The migrations, which create tables and policies. Run them with [`migrate`].
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The migration that created the roles. It fails for users who may not create roles, even if the roles exist, and for users who may not grant
/// them, even if they have them.
const ROLES_MIGRATION: i64 = 20_261_124_000_001;

/// Creates the roles that are missing, and grants those that the user does not have.
const ROLES: &str = include_str!("migrations/roles.sql");

/// Whether the tables are those of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There are no tables.
    Absent,
    /// Migrations of this version were not applied yet.
    Behind,
    /// The tables are those of this version, or of a later one.
    Current,
}

/// Brings roles and tables up to date. The connection must belong to the owner of the database, and have the default search path.
///
/// # Errors
/// Returns an error if a statement fails, also if the user may neither create nor take the roles.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    connection.execute(ROLES).await.map_err(MigrateError::Execute)?;
    // It is recorded as it was published, so that earlier versions recognize it.
    let migrations = MIGRATOR.iter().map(|migration| match migration.version {
        ROLES_MIGRATION => Migration {
            sql: "SELECT".into_sql_str(),
            ..migration.clone()
        },
        _ => migration.clone(),
    });
    Migrator::with_migrations(migrations.collect()).run(connection).await
}

/// Returns the state of the tables, or `None` if the user may not read it. The connection must have the default search path.
///
/// # Errors
/// Returns an error if a query fails.
pub async fn state(connection: &mut PgConnection) -> sqlx::Result<Option<State>> {
    // The table belongs to sqlx, so that it is not in the schemas that statements are checked against.
    let exists = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !exists.fetch_one(&mut *connection).await? {
        return Ok(Some(State::Absent));
    }
    let may_read = sqlx::query_scalar("SELECT has_table_privilege('_sqlx_migrations', 'SELECT')");
    if !may_read.fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(connection)
        .await?;
    let applied: HashSet<i64> = applied.into_iter().collect();
    let is_current = MIGRATOR.iter().all(|migration| applied.contains(&migration.version));
    Ok(Some(if is_current { State::Current } else { State::Behind }))
}

/// Returns the SQL with which an administrator creates the roles and grants them to the owner of the database.
#[must_use]
pub fn roles_for(owner: &str) -> String {
    let owner = format!("'{}'", owner.replace('\'', "''"));
    include_str!("migrations/administrator.sql").replace("OWNER", &owner)
}
