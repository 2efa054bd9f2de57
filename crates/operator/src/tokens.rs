//! Changes of tokens.

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use directory::queries::OPERATE;
use directory::{IdOrSlug, Key, queries};
use schemas::{
    AccountId, EnvironmentId, Event, EventData, EventId, OperatorAction, OperatorTokenIssued, OperatorTokenRevoked,
    Scope, TokenId, TokenIssued, TokenRevoked,
};
use serde::{Serialize, Serializer};
use sqlx::PgConnection;

use crate::history::read_history;
use crate::{Operator, no_environment, require_account};

/// A token that was created.
#[derive(Serialize)]
pub struct Created {
    /// The id of the token.
    pub id: TokenId,
    /// It is only returned, and never stored.
    #[serde(serialize_with = "exposed")]
    pub key: Key,
    /// The display name.
    pub name: String,
    /// The account that it belongs to; none for a token for operators.
    pub account_id: Option<AccountId>,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// The slug of the only environment that it may access, if there is one.
    pub environment: Option<String>,
    /// When it expires, if it does.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Writes a key for the one who created it.
fn exposed<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

/// A token that replaces another one.
pub struct Rotated {
    /// The id of the new token.
    pub id: TokenId,
    /// It is only returned, and never stored.
    pub key: Key,
    /// When the new token expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the other token expires.
    pub old_expires_at: DateTime<Utc>,
}

impl Operator {
    /// Creates a token of an account. Its key is only returned, and never stored.
    ///
    /// # Errors
    /// Fails if the account or the environment is unknown, or the bucket or PostgreSQL is unavailable.
    pub async fn create_token(
        &self,
        account: AccountId,
        name: String,
        environment: Option<IdOrSlug>,
        scopes: Vec<Scope>,
        lifetime: Option<TimeDelta>,
    ) -> anyhow::Result<Created> {
        let mut change = self.begin_change().await?;
        require_account(&mut change, account).await?;
        let environment = match environment {
            None => None,
            Some(name) => {
                let found = queries::environment_named(&mut change, account, &name.to_string()).await?;
                Some(found.with_context(|| no_environment(account, &name))?)
            }
        };
        let mut scopes = scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let created = Created {
            id: self.new_token(),
            key: Key::generate()?,
            name,
            account_id: Some(account),
            scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            environment: environment.as_ref().map(|found| found.slug.clone()),
            expires_at: lifetime.map(|lifetime| self.clock.now() + lifetime),
        };
        let data = TokenIssued {
            account_id: account,
            token_id: created.id,
            name: created.name.clone(),
            key_sha256: created.key.sha256(),
            scopes,
            environment_id: environment.map(|found| EnvironmentId(found.id)),
            expires_at: created.expires_at,
        };
        self.act(Some(account), OperatorAction::TokenIssued(created.id), None)
            .await?;
        self.record(&mut change, data.into()).await?;
        change.commit().await?;
        Ok(created)
    }

    /// Creates a token for operators, on behalf of nobody: only commands can do that.
    ///
    /// # Errors
    /// Fails if it is done on behalf of an operator, or the bucket or PostgreSQL is unavailable.
    pub async fn create_operator_token(&self, name: String, lifetime: TimeDelta) -> anyhow::Result<Created> {
        ensure!(
            self.behalf.is_none(),
            "a token for operators can only be created with `dbt-api token create --scope operate`"
        );
        let mut change = self.begin_change().await?;
        let key = Key::generate()?;
        let data = OperatorTokenIssued {
            token_id: self.new_token(),
            name,
            key_sha256: key.sha256(),
            expires_at: self.clock.now() + lifetime,
        };
        self.record(&mut change, data.clone().into()).await?;
        change.commit().await?;
        Ok(Created {
            id: data.token_id,
            key,
            name: data.name,
            account_id: None,
            scopes: vec![OPERATE.to_owned()],
            environment: None,
            expires_at: Some(data.expires_at),
        })
    }

    fn new_token(&self) -> TokenId {
        TokenId(self.clock.new_id(self.clock.now()))
    }

    /// Creates a token like this one, and lets this one expire after a while. Only the expiry of the old token changes, and only to an earlier
    /// time.
    ///
    /// # Errors
    /// Fails if there is no such token, it has expired, or the bucket or PostgreSQL is unavailable.
    pub async fn rotate_token(&self, token: TokenId, valid_for: TimeDelta) -> anyhow::Result<Rotated> {
        // Before the lock, because it can take a while. The journal, unlike the table, has the expiry with which the token was issued.
        let history = read_history(&self.bucket).await?;
        let mut change = self.begin_change().await?;
        if let Some(time) = history.deleted_at(token) {
            bail!(was_deleted(token, time));
        }
        let exists = revocation_of(&mut change, token).await?.is_some();
        let old = history.token(token).filter(|_| exists);
        let old = old.with_context(|| no_token(token))?;
        let now = self.clock.now();
        if let Some(end) = old.expires_at {
            ensure!(
                end > now,
                "the token `{token}` expired at {}: create a new one with `dbt-api token create`",
                end.format("%Y-%m-%dT%H:%M:%SZ")
            );
        }
        let key = Key::generate()?;
        let id = self.new_token();
        // As long as the old one was made for, also if an earlier rotation shortened that.
        let expires_at = old.issued.expires_at().map(|end| now + (end - old.issued_at));
        let new = old.issued.renewed(id, key.sha256(), expires_at);
        self.record(&mut change, new).await?;
        let wanted = now + valid_for;
        let old_expires_at = old.expires_at.map_or(wanted, |end| end.min(wanted));
        if old.expires_at != Some(old_expires_at) {
            self.record(&mut change, old.issued.until(old_expires_at)).await?;
        }
        change.commit().await?;
        Ok(Rotated {
            id,
            key,
            expires_at,
            old_expires_at,
        })
    }

    /// Deletes a token. The bucket knows it first, and needs no database for it. So a later failure never leaves a token that seems deleted but
    /// still works. `ensure_usable` checks the database before it is changed.
    ///
    /// # Errors
    /// Fails if there is no such token, it was deleted before, or the bucket is unavailable.
    pub async fn delete_token(
        &self,
        token: TokenId,
        ensure_usable: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Deleted> {
        let history = read_history(&self.bucket).await?;
        let data = match history.token(token) {
            Some(known) => revocation(known.issued.account_id(), token),
            // Its event may be unreadable.
            None => {
                let found = match self.connection().await {
                    Ok(mut connection) => revocation_of(&mut connection, token).await?,
                    Err(_) => None,
                };
                found.with_context(|| no_token(token))?
            }
        };
        let deleted_at = history.deleted_at(token);
        if deleted_at.is_none() {
            self.act(data.account_id(), OperatorAction::TokenRevoked(token), None)
                .await?;
        }
        self.bucket.revoke(token).await?;
        let time = self.clock.now();
        let event = Event::new(EventId(self.clock.new_id(time)), time, &data)?;
        if deleted_at.is_none() {
            self.bucket.put_event(&event).await?;
        }
        let applied = async {
            ensure_usable().await?;
            let mut change = self.begin_change().await?;
            let is_there = revocation_of(&mut change, token).await?.is_some();
            directory::apply(&mut change, &event, &data).await?;
            change.commit().await?;
            anyhow::Ok(is_there)
        };
        match (applied.await, deleted_at) {
            (Ok(false), Some(time)) | (Err(_), Some(time)) => bail!(was_deleted(token, time)),
            (Ok(_), _) => Ok(Deleted::Everywhere),
            (Err(error), None) => Ok(Deleted::InBucket(error)),
        }
    }
}

/// Where a token was deleted.
pub enum Deleted {
    /// In the bucket and in PostgreSQL.
    Everywhere,
    /// In the bucket alone, because of this error. All processes refuse the token, and the sweep deletes it in the table.
    InBucket(anyhow::Error),
}

/// Returns the event that revokes a token, or `None` if there is no such token.
async fn revocation_of(connection: &mut PgConnection, token: TokenId) -> sqlx::Result<Option<EventData>> {
    if let Some(account) = queries::account_of_token(connection, token).await? {
        return Ok(Some(revocation(Some(account), token)));
    }
    let is_for_operators = queries::is_operator_token(connection, token).await?;
    Ok(is_for_operators.then(|| revocation(None, token)))
}

/// The event that revokes a token, which has no account if it is for operators.
fn revocation(account: Option<AccountId>, token_id: TokenId) -> EventData {
    match account {
        Some(account_id) => TokenRevoked { account_id, token_id }.into(),
        None => OperatorTokenRevoked { token_id }.into(),
    }
}

fn no_token(token: TokenId) -> String {
    format!("unknown token `{token}`: `dbt-api token list` lists the tokens, and with `--all` those that were deleted")
}

/// What to say of a token that was deleted.
fn was_deleted(token: TokenId, time: DateTime<Utc>) -> String {
    let time = time.format("%Y-%m-%dT%H:%M:%SZ");
    format!("the token `{token}` was deleted at {time}: `dbt-api token list` lists the tokens that are left")
}
