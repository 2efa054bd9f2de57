//! Accounts, projects and environments.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, ProjectId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

/// A row of `accounts`.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// For people.
    pub name: String,
    /// For URLs, where it has one.
    pub slug: Option<String>,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When its present state was recorded.
    pub updated_at: DateTime<Utc>,
}

/// A row of `projects`.
#[derive(Clone, Debug, Serialize)]
pub struct Project {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// For people.
    pub name: String,
    /// For URLs.
    pub slug: String,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When its present state was recorded.
    pub updated_at: DateTime<Utc>,
}

/// A row of `environments`.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// The project that it belongs to.
    pub project_id: i64,
    /// For people.
    pub name: String,
    /// For uploads and URLs.
    pub slug: String,
    /// `production`, `staging` or `development`.
    pub environment_type: String,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When its present state was recorded.
    pub updated_at: DateTime<Utc>,
}

/// All accounts that the connection sees, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub async fn accounts(connection: &mut PgConnection) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as!(
        Account,
        "SELECT id, name, slug, state, created_at, updated_at FROM accounts ORDER BY id"
    )
    .fetch_all(connection)
    .await
}

/// An account by its number.
///
/// # Errors
/// Those of the database.
pub async fn account(connection: &mut PgConnection, id: AccountId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        "SELECT id, name, slug, state, created_at, updated_at FROM accounts WHERE id = $1",
        id.0
    )
    .fetch_optional(connection)
    .await
}

/// The projects of an account, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub async fn projects(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<Project>> {
    sqlx::query_as!(
        Project,
        "SELECT id, account_id, name, slug, state, created_at, updated_at FROM projects WHERE account_id = $1 ORDER BY id",
        account.0
    )
    .fetch_all(connection)
    .await
}

/// A project of an account by its number.
///
/// # Errors
/// Those of the database.
pub async fn project(
    connection: &mut PgConnection,
    account: AccountId,
    id: ProjectId,
) -> sqlx::Result<Option<Project>> {
    sqlx::query_as!(
        Project,
        "SELECT id, account_id, name, slug, state, created_at, updated_at FROM projects WHERE account_id = $1 AND id = $2",
        account.0,
        id.0
    )
    .fetch_optional(connection)
    .await
}

/// A project of an account by its number or slug.
///
/// # Errors
/// Those of the database.
pub async fn project_named(
    connection: &mut PgConnection,
    account: AccountId,
    named: &str,
) -> sqlx::Result<Option<Project>> {
    // A slug is never all digits, so that only one of the two can be meant.
    sqlx::query_as!(
        Project,
        "SELECT id, account_id, name, slug, state, created_at, updated_at FROM projects
         WHERE account_id = $1 AND (slug = $2 OR id::text = $2) ORDER BY state, id LIMIT 1",
        account.0,
        named
    )
    .fetch_optional(connection)
    .await
}

/// An environment of an account by its number or slug.
///
/// # Errors
/// Those of the database.
pub async fn environment_named(
    connection: &mut PgConnection,
    account: AccountId,
    named: &str,
) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        "SELECT id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at
         FROM environments WHERE account_id = $1 AND (slug = $2 OR id::text = $2) ORDER BY state, id LIMIT 1",
        account.0,
        named
    )
    .fetch_optional(connection)
    .await
}

/// The environments of an account, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub async fn environments(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<Environment>> {
    sqlx::query_as!(
        Environment,
        "SELECT id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at
         FROM environments WHERE account_id = $1 ORDER BY id",
        account.0
    )
    .fetch_all(connection)
    .await
}

/// An environment of an account by its number.
///
/// # Errors
/// Those of the database.
pub async fn environment(
    connection: &mut PgConnection,
    account: AccountId,
    id: EnvironmentId,
) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        "SELECT id, account_id, project_id, name, slug, environment_type, state, created_at, updated_at
         FROM environments WHERE account_id = $1 AND id = $2",
        account.0,
        id.0
    )
    .fetch_optional(connection)
    .await
}

/// The highest number of a project, of all accounts.
///
/// # Errors
/// Those of the database.
pub async fn highest_project(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT max(id) FROM projects")
        .fetch_one(connection)
        .await
}

/// The highest number of an environment, of all accounts.
///
/// # Errors
/// Those of the database.
pub async fn highest_environment(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT max(id) FROM environments")
        .fetch_one(connection)
        .await
}

/// Does the database answer, and has it the tables of the directory?
///
/// # Errors
/// Those of the database.
pub async fn check(database: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM accounts) AS "any!""#)
        .fetch_one(database)
        .await?;
    Ok(())
}
