//! Tokens.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Sha256, TokenId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{Access, Environments, Name};

/// A token as operators see it. Its key is nowhere.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub account_id: i64,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// The slug of the only environment that it sees.
    pub environment: Option<String>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, within a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The tokens of an account or of all, the oldest first.
///
/// # Errors
/// Those of the database.
pub async fn tokens(connection: &mut PgConnection, account: Option<AccountId>) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as!(
        Token,
        r#"SELECT t.id, t.account_id, t.name, t.scopes, e.slug AS "environment?", t.issued_at, t.expires_at,
                u.last_used_at AS "last_used_at?"
         FROM tokens t LEFT JOIN environments e ON e.id = t.environment_id LEFT JOIN token_use u ON u.token_id = t.id
         WHERE $1::bigint IS NULL OR t.account_id = $1 ORDER BY t.issued_at, t.id"#,
        account.map(|id| id.0)
    )
    .fetch_all(connection)
    .await
}

/// The account of a token, for the one who deletes it.
///
/// # Errors
/// Those of the database.
pub async fn account_of_token(connection: &mut PgConnection, token: TokenId) -> sqlx::Result<Option<AccountId>> {
    let account = sqlx::query_scalar!("SELECT account_id FROM tokens WHERE id = $1", token.0)
        .fetch_optional(connection)
        .await?;
    Ok(account.map(AccountId))
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// What the key opens.
    pub access: Access,
    /// The present version of all that its account has; another after each change. None: nothing was changed yet.
    pub account_version: Option<Uuid>,
}

/// The holder of a key, and notes that the token was used. For connections that may see no table of tokens.
///
/// # Errors
/// Those of the database.
pub async fn key_holder<'c>(
    database: impl PgExecutor<'c> + Copy,
    key_sha256: Sha256,
) -> sqlx::Result<Option<KeyHolder>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", account_id AS "account_id!", environment_id, scopes AS "scopes!", use_noted AS "use_noted!",
            account_version
         FROM directory.token_by_key($1)"#,
        key_sha256.0.as_slice()
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.use_noted {
        sqlx::query!("SELECT directory.note_token_use($1)", row.id)
            .execute(database)
            .await?;
    }
    let access = Access {
        token_id: TokenId(row.id),
        accounts: vec![AccountId(row.account_id)],
        environments: Environments::bound_to(row.environment_id.map(EnvironmentId)),
        scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
    };
    Ok(Some(KeyHolder {
        access,
        account_version: row.account_version,
    }))
}

/// The numbers of the environments of an account that these names mean. A slug means one that is in use before one that is not. For
/// connections that see the whole account.
///
/// # Errors
/// Those of the database.
pub async fn environments_named(
    connection: &mut PgConnection,
    account: AccountId,
    names: &[Name],
) -> sqlx::Result<Vec<i64>> {
    let (ids, slugs) = ids_and_slugs(names);
    sqlx::query_scalar!(
        "SELECT id FROM environments e
         WHERE account_id = $1 AND (id = ANY($2) OR (slug = ANY($3) AND NOT EXISTS (
            SELECT FROM environments o WHERE o.account_id = $1 AND o.slug = e.slug AND (o.state, o.id) < (e.state, e.id))))",
        account.0,
        &ids,
        &slugs
    )
    .fetch_all(connection)
    .await
}

/// The numbers of the environments of an account's projects that these names mean, as [`environments_named`] takes them.
///
/// # Errors
/// Those of the database.
pub async fn environments_of_projects_named(
    connection: &mut PgConnection,
    account: AccountId,
    names: &[Name],
) -> sqlx::Result<Vec<i64>> {
    let (ids, slugs) = ids_and_slugs(names);
    sqlx::query_scalar!(
        "SELECT e.id FROM environments e JOIN projects p ON p.id = e.project_id
         WHERE e.account_id = $1 AND (p.id = ANY($2) OR (p.slug = ANY($3) AND NOT EXISTS (
            SELECT FROM projects o WHERE o.account_id = $1 AND o.slug = p.slug AND (o.state, o.id) < (p.state, p.id))))",
        account.0,
        &ids,
        &slugs
    )
    .fetch_all(connection)
    .await
}

/// Lets the rest of a transaction under row-level security see this account, in place of the one that it saw.
///
/// # Errors
/// Those of the database.
pub async fn see_account(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!("SELECT set_config('app.account_id', $1, true)", account.to_string())
        .fetch_one(transaction)
        .await?;
    Ok(())
}

/// Lets the rest of a transaction under row-level security see these environments of its account only.
///
/// # Errors
/// Those of the database.
pub async fn see_environments(transaction: &mut PgConnection, environments: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT set_config('app.environment_ids', $1::bigint[]::text, true)",
        environments
    )
    .fetch_one(transaction)
    .await?;
    Ok(())
}

fn ids_and_slugs(names: &[Name]) -> (Vec<i64>, Vec<String>) {
    let (mut ids, mut slugs) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            Name::Id(id) => ids.push(*id),
            Name::Slug(slug) => slugs.push(slug.as_str().to_owned()),
        }
    }
    (ids, slugs)
}
