//! Queries of tokens, and of what they may see.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Sha256, TokenId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{Access, Environments};

/// A token as operators see it, without its key.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// The token's id.
    pub id: Uuid,
    /// The account that the token belongs to; none for a token for operators.
    pub account_id: Option<i64>,
    /// The display name.
    pub name: String,
    /// The actions that the token allows.
    pub scopes: Vec<String>,
    /// The slug of the only environment that the token sees, if it is bound to one.
    pub environment: Option<String>,
    /// When the token was issued.
    pub issued_at: DateTime<Utc>,
    /// When the token expires, if it does.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the token was last used, accurate to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The scope of tokens for operators, as people see it.
pub const OPERATE: &str = "operate";

/// Returns the tokens of one account, or all tokens with those for operators, the oldest first.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn tokens(connection: &mut PgConnection, account: Option<AccountId>) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as!(
        Token,
        r#"SELECT t.id AS "id!", t.account_id, t.name AS "name!", t.scopes AS "scopes!", e.slug AS "environment?",
                t.issued_at AS "issued_at!", t.expires_at, u.last_used_at AS "last_used_at?"
         FROM (
             SELECT id, account_id, name, scopes, environment_id, issued_at, expires_at FROM tokens
             WHERE $1::bigint IS NULL OR account_id = $1
             UNION ALL
             SELECT id, NULL, name, ARRAY[$2], NULL, issued_at, expires_at FROM operator_tokens WHERE $1::bigint IS NULL
         ) t
         LEFT JOIN environments e ON e.id = t.environment_id LEFT JOIN token_use u ON u.token_id = t.id
         ORDER BY t.issued_at, t.id"#,
        account.map(|id| id.0),
        OPERATE
    )
    .fetch_all(connection)
    .await
}

/// Returns when these tokens were last used, accurate to a minute. They may have been deleted since.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn last_uses(
    connection: &mut PgConnection,
    tokens: &[TokenId],
) -> sqlx::Result<HashMap<TokenId, DateTime<Utc>>> {
    let ids: Vec<Uuid> = tokens.iter().map(|token| token.0).collect();
    let rows = sqlx::query!(
        "SELECT token_id, last_used_at FROM token_use WHERE token_id = ANY($1)",
        &ids
    )
    .fetch_all(connection)
    .await?;
    let uses = rows.into_iter().map(|row| (TokenId(row.token_id), row.last_used_at));
    Ok(uses.collect())
}

/// Returns the account of a token, unless it was deleted.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn account_of_token(connection: &mut PgConnection, token: TokenId) -> sqlx::Result<Option<AccountId>> {
    let account = sqlx::query_scalar!("SELECT account_id FROM tokens WHERE id = $1", token.0)
        .fetch_optional(connection)
        .await?;
    Ok(account.map(AccountId))
}

/// The holder of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// What the key gives access to.
    pub access: Access,
    /// The current version of the account's data, which is different after each change. `None` if nothing was changed yet.
    pub account_version: Option<Uuid>,
}

/// Returns the holder of a key, and records that the token was used, if it can. The connection does not need access to the table of tokens.
///
/// # Errors
/// Returns an error if the query fails.
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
        // It is only information for operators: on a server that is read-only for now, keys are accepted all the same.
        let note = sqlx::query!("SELECT directory.note_token_use($1)", row.id);
        match note.execute(database).await {
            Err(error) if is_read_only(&error) => tracing::debug!(%error, "cannot record that a token was used"),
            noted => {
                noted?;
            }
        }
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

/// Whether the server refuses writes, as a standby does.
fn is_read_only(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("25006")
}

/// Lets the rest of a transaction under row-level security see this account instead of the previous one.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn see_account(transaction: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!("SELECT set_config('app.account_id', $1, true)", account.to_string())
        .fetch_one(transaction)
        .await?;
    Ok(())
}
