//! Tokens.

use chrono::{DateTime, Utc};
use schemas::{AccountId, EnvironmentId, Sha256, TokenId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::Access;

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

/// The bearer of a key, and notes that the token was used. For connections that may see no table of tokens.
///
/// # Errors
/// Those of the database.
pub async fn access_by_key<'c>(
    database: impl PgExecutor<'c> + Copy,
    key_sha256: Sha256,
) -> sqlx::Result<Option<Access>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", account_id AS "account_id!", environment_id, scopes AS "scopes!", use_noted AS "use_noted!"
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
    Ok(Some(Access {
        token_id: TokenId(row.id),
        account_id: AccountId(row.account_id),
        environment_id: row.environment_id.map(EnvironmentId),
        scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
    }))
}
