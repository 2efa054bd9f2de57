//! The statements that transactions begin with. Each is a part of a simple query of several statements, which takes a single round trip.
//!
//! Only numbers, hexadecimal digits and slugs are inserted, since a simple query has no parameters.

use schemas::{AccountId, EnvironmentId, RecordState, Sha256, TokenId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::KeyHolder;
use crate::{Access, Environments, IdOrSlug};

/// Looks the holder of a key up at the beginning of a transaction, which then sees what the holder may see. If there is none, it sees nothing.
///
/// The rows that the statements return are read by [`Found::read`].
#[must_use]
pub fn begin_by_key(key_sha256: Sha256) -> String {
    let hash = hex::encode(key_sha256.0);
    // A statement of its own, so that PostgreSQL cannot evaluate a policy before the settings.
    format!(
        r"SELECT k.*, set_config('app.account_id', account_id::text, true), set_config('app.environment_ids', coalesce('{{' || environment_id || '}}', ''), true) FROM directory.token_by_key('\x{hash}') k"
    )
}

/// Lets a transaction see this account from its beginning, and only these environments of it. If several environments or projects have the same slug, an
/// active one takes precedence.
///
/// The row that the statements return is read by [`Begun::read`].
#[must_use]
pub fn begin_in_account(account: AccountId, environments: &Environments) -> String {
    let seen = match environments {
        Environments::All => "''".to_owned(),
        Environments::Only(names) => {
            let named = named("environments", account, names);
            format!(
                "(SELECT coalesce(array_agg(e.id), '{{}}')::text FROM directory.environments e WHERE e.id IN ({named}))"
            )
        }
        Environments::OfProjects(names) => {
            let named = named("projects", account, names);
            format!(
                "(SELECT coalesce(array_agg(e.id), '{{}}')::text FROM directory.environments e WHERE e.project_id IN ({named}))"
            )
        }
    };
    // The account is set by a statement of its own, so that PostgreSQL cannot evaluate a policy before.
    format!(
        "SET LOCAL app.account_id = '{account}'; SELECT (SELECT state FROM directory.accounts WHERE id = {account}) AS state, set_config('app.environment_ids', {seen}, true) AS environments"
    )
}

/// Selects the ids of the account's environments or projects with these names.
fn named(table: &str, account: AccountId, names: &[IdOrSlug]) -> String {
    let (mut ids, mut slugs) = (vec!["NULL".to_owned()], vec!["NULL".to_owned()]);
    for name in names {
        match name {
            IdOrSlug::Id(id) => ids.push(id.to_string()),
            IdOrSlug::Slug(slug) => slugs.push(format!("'{slug}'")),
        }
    }
    let (ids, slugs) = (ids.join(","), slugs.join(","));
    format!(
        "SELECT id FROM directory.{table} n WHERE account_id = {account} AND (id IN ({ids}) OR (slug IN ({slugs}) AND NOT EXISTS (SELECT FROM directory.{table} o WHERE o.account_id = {account} AND o.slug = n.slug AND (o.state, o.id) < (n.state, n.id))))"
    )
}

/// What was found when a transaction began in an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Whether there is such an account, and it is active.
    pub is_active: bool,
    /// The only environments that the transaction sees; none if it sees all.
    pub environments: Option<Vec<i64>>,
}

impl Begun {
    /// Lets another transaction see the same, on a server that may not know the names yet.
    #[must_use]
    pub fn begin_again(&self, account: AccountId) -> String {
        let ids = |ids: &Vec<i64>| Environments::Only(ids.iter().copied().map(IdOrSlug::Id).collect());
        begin_in_account(account, &self.environments.as_ref().map_or(Environments::All, ids))
    }

    /// Reads the row of [`begin_in_account`].
    ///
    /// # Errors
    /// Returns an error if the columns are not those that are expected.
    pub fn read(rows: &[PgRow]) -> sqlx::Result<Self> {
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let state: Option<String> = row.try_get("state")?;
        let environments: String = row.try_get("environments")?;
        let list = environments.strip_prefix('{').and_then(|list| list.strip_suffix('}'));
        Ok(Self {
            is_active: state.is_some_and(|state| state == RecordState::Active.as_str()),
            environments: list.map(|list| list.split(',').filter_map(|id| id.parse().ok()).collect()),
        })
    }
}

/// Records that a token was used, unless that was done within the last minute. It needs a transaction of its own, which may write.
#[must_use]
pub fn note_use(token: TokenId) -> String {
    // It does not hold its connection until the commit is on the disk: the loss of such a record does no harm.
    let token = token.0;
    format!("SET LOCAL synchronous_commit = off; SELECT directory.note_token_use('{token}')")
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
