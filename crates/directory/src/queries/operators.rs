//! Queries of the tokens for operators.

use chrono::{DateTime, Utc};
use schemas::{Sha256, TokenId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

/// A token for operators. It gives access to the pages for operators and to nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorToken {
    /// The token's id.
    pub id: TokenId,
    /// The display name.
    pub name: String,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
}

/// Returns the valid token for operators with this key, and whether its use was recorded within the last minute. The connection does not need
/// access to the table of tokens.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn operator_by_key(
    database: impl PgExecutor<'_>,
    key_sha256: Sha256,
) -> sqlx::Result<Option<(OperatorToken, bool)>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", name AS "name!", expires_at AS "expires_at!", use_noted AS "use_noted!" FROM directory.operator_by_key($1)"#,
        key_sha256.0.as_slice()
    )
    .fetch_optional(database)
    .await?;
    Ok(row.map(|row| {
        let token = OperatorToken {
            id: TokenId(row.id),
            name: row.name,
            expires_at: row.expires_at,
        };
        (token, row.use_noted)
    }))
}

/// Whether there is a token for operators with this id, which was not revoked.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn is_operator_token(connection: &mut PgConnection, token: TokenId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operator_tokens WHERE id = $1) AS "exists!""#,
        token.0
    )
    .fetch_one(connection)
    .await
}

/// Records that a token was used, unless that was done within the last minute.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn note_token_use(database: impl PgExecutor<'_>, token: TokenId) -> sqlx::Result<()> {
    sqlx::query!("SELECT directory.note_token_use($1)", token.0)
        .execute(database)
        .await?;
    Ok(())
}
