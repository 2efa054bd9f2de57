//! Queries of accounts, projects and environments.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemas::{AccountId, ConnectionDetails, EnvironmentId, EnvironmentType, ProjectId};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

/// A row of `accounts`.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// The number of the account.
    pub id: i64,
    /// The display name.
    pub name: String,
    /// The name in URLs, if there is one.
    pub slug: Option<String>,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A row of `projects`.
#[derive(Clone, Debug, Serialize)]
pub struct Project {
    /// The number, unique across all accounts.
    pub id: i64,
    /// The account that it belongs to.
    pub account_id: i64,
    /// The display name.
    pub name: String,
    /// The name in URLs.
    pub slug: String,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A row of `environments`.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The number, unique across all accounts.
    pub id: i64,
    /// The account that it belongs to.
    pub account_id: i64,
    /// The project that the environment belongs to.
    pub project_id: i64,
    /// The display name.
    pub name: String,
    /// The name in uploads and URLs.
    pub slug: String,
    /// `production`, `staging` or `development`.
    pub environment_type: String,
    /// `active` or `inactive`.
    pub state: String,
    /// When it was first recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Environment {
    /// The purpose of the environment. A word that this version does not know counts as development.
    #[must_use]
    pub fn deployment_type(&self) -> EnvironmentType {
        self.environment_type.parse().unwrap_or_default()
    }
}

/// A row of `connections`.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The project whose warehouse it is. A project has at most one connection.
    pub project_id: i64,
    /// Where its warehouse is.
    pub details: Json<ConnectionDetails>,
    /// When an operator said so last.
    pub updated_at: DateTime<Utc>,
}

/// Returns all accounts that the connection sees, ordered by id.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn accounts(connection: &mut PgConnection) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as!(
        Account,
        "SELECT id, name, slug, state, created_at, updated_at FROM accounts ORDER BY id"
    )
    .fetch_all(connection)
    .await
}

/// Returns an account by its number.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn account(connection: &mut PgConnection, id: AccountId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        "SELECT id, name, slug, state, created_at, updated_at FROM accounts WHERE id = $1",
        id.0
    )
    .fetch_optional(connection)
    .await
}

/// Returns the projects of an account, ordered by id.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn projects(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<Project>> {
    sqlx::query_as!(
        Project,
        "SELECT id, account_id, name, slug, state, created_at, updated_at FROM projects WHERE account_id = $1 ORDER BY id",
        account.0
    )
    .fetch_all(connection)
    .await
}

/// Returns a project of an account by its number.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns a project of an account by its number or slug.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn project_named(
    connection: &mut PgConnection,
    account: AccountId,
    named: &str,
) -> sqlx::Result<Option<Project>> {
    // A slug never consists only of digits, so only one of the two can match.
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

/// Returns what operators said about the warehouses of an account's projects, ordered by project.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn connections(connection: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT project_id, details AS "details: Json<ConnectionDetails>", updated_at FROM connections
         WHERE account_id = $1 ORDER BY project_id"#,
        account.0
    )
    .fetch_all(connection)
    .await
}

/// Returns an environment of an account by its number or slug.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns the environments of an account, ordered by id.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns the slugs of the environments with these numbers, whichever accounts they belong to.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn slugs_of_environments(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<HashMap<i64, String>> {
    let rows = sqlx::query!("SELECT id, slug FROM environments WHERE id = ANY($1)", ids)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.slug)).collect())
}

/// Returns an environment of an account by its number.
///
/// # Errors
/// Returns an error if the query fails.
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

/// Returns the account of the project with this number, whichever account it belongs to.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn account_of_project(connection: &mut PgConnection, id: ProjectId) -> sqlx::Result<Option<AccountId>> {
    let account = sqlx::query_scalar!("SELECT account_id FROM projects WHERE id = $1", id.0)
        .fetch_optional(connection)
        .await?;
    Ok(account.map(AccountId))
}

/// Returns the account of the environment with this number, whichever account it belongs to.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn account_of_environment(
    connection: &mut PgConnection,
    id: EnvironmentId,
) -> sqlx::Result<Option<AccountId>> {
    let account = sqlx::query_scalar!("SELECT account_id FROM environments WHERE id = $1", id.0)
        .fetch_optional(connection)
        .await?;
    Ok(account.map(AccountId))
}

/// Returns the highest project number across all accounts.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn highest_project(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT max(id) FROM projects")
        .fetch_one(connection)
        .await
}

/// Returns the highest environment number across all accounts.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn highest_environment(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT max(id) FROM environments")
        .fetch_one(connection)
        .await
}

/// Checks that the database answers and has the directory's tables.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn check(database: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM accounts) AS "any!""#)
        .fetch_one(database)
        .await?;
    Ok(())
}

/// Whether the server accepts writes. It does not as a standby, or while an administrator keeps it read-only.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn accepts_writes(database: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT current_setting('transaction_read_only') = 'off' AS "accepts!""#)
        .fetch_one(database)
        .await
}
