//! The statements that begin read-only transactions. Each is a simple query of several statements, and so takes a single round trip.
//!
//! Only numbers and hexadecimal digits are inserted, since a simple query has no parameters.

use schemas::{AccountId, EnvironmentId, Sha256, TokenId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::KeyHolder;
use crate::{Access, Environments};

/// Begins a transaction that sees what the holder of a key may see, and looks the holder up. If there is none, it sees nothing.
///
/// The rows that the statements return are read by [`Found::read`].
#[must_use]
pub fn begin_by_key(key_sha256: Sha256) -> String {
    let hash = hex::encode(key_sha256.0);
    // A statement of its own, so that PostgreSQL cannot evaluate a policy before the settings.
    format!(
        r"BEGIN READ ONLY; SELECT k.*, set_config('app.account_id', account_id::text, true), set_config('app.environment_ids', coalesce('{{' || environment_id || '}}', ''), true) FROM directory.token_by_key('\x{hash}') k"
    )
}

/// Begins a transaction that sees this account, and only these environments if there are any.
#[must_use]
pub fn begin_in_account(account: AccountId, environments: Option<&[i64]>) -> String {
    let seen = environments.map(array).unwrap_or_default();
    format!("BEGIN READ ONLY; SET LOCAL app.account_id = '{account}'; SET LOCAL app.environment_ids = '{seen}'")
}

/// Records that a token was used, unless that was done within the last minute. It is a transaction of its own.
#[must_use]
pub fn note_use(token: TokenId) -> String {
    // It does not hold its connection until the commit is on the disk: the loss of such a record does no harm.
    let token = token.0;
    format!("BEGIN; SET LOCAL synchronous_commit = off; SELECT directory.note_token_use('{token}'); COMMIT")
}

/// The holder of a key, as found when a transaction began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the key may do, and in which accounts.
    pub holder: KeyHolder,
    /// Whether the use of the token was recorded within the last minute.
    pub use_noted: bool,
}

impl Found {
    /// Reads the rows of [`begin_by_key`]. Returns `None` if the key is unknown, or no longer valid.
    ///
    /// # Errors
    /// Returns an error if the columns are not those that are expected.
    pub fn read(rows: &[PgRow]) -> sqlx::Result<Option<Self>> {
        let Some(row) = rows.first() else { return Ok(None) };
        let scopes: Vec<String> = row.try_get("scopes")?;
        let access = Access {
            token_id: TokenId(row.try_get("id")?),
            accounts: vec![AccountId(row.try_get("account_id")?)],
            environments: Environments::bound_to(row.try_get::<Option<i64>, _>("environment_id")?.map(EnvironmentId)),
            scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
        };
        let account_version: Option<Uuid> = row.try_get("account_version")?;
        Ok(Some(Self {
            holder: KeyHolder {
                access,
                account_version,
            },
            use_noted: row.try_get("use_noted")?,
        }))
    }
}

/// Formats an array as PostgreSQL writes it.
fn array(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("{{{}}}", texts.join(","))
}
