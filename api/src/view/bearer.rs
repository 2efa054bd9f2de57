//! From a request's key to its holder, and to the server that is read.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use directory::queries::OperatorToken;
use directory::{Access, Environments, IdOrSlug, hash_of_key, is_own_key, queries};
use edge::{CloudError, Purpose, UploadError};
use read_model::outage::{is_conflict, is_outage};
use schemas::{AccountId, Scope};
use service::{Lent, ReadPool};
use uuid::Uuid;

use super::account_view::View;
use super::named::Named;
use crate::again::must_be_primary;
use crate::error::Error;
use crate::state::State;

/// The holder of a request's key.
pub(crate) struct Bearer {
    pub(crate) access: Access,
    /// The key was issued by Datacoves, not by this service.
    is_verified: bool,
    /// The version of the account's data when the key was looked up; none if it is not known.
    pub(crate) account_version: Option<Uuid>,
    /// The version of what the answer is read from, which may be older.
    pub(crate) read_version: Option<Uuid>,
    /// The transaction in which the key was looked up, or one on the replica. It sees what the holder may see.
    pub(super) begun: Option<Lent>,
    /// Whether the answer may be read from a server that is behind the primary.
    pub(super) may_be_behind: bool,
}

/// Hands a bearer from the middleware to the handler.
#[derive(Clone)]
struct Handover(Arc<Mutex<Option<Bearer>>>);

impl Bearer {
    /// Finds the bearer of the request's key, and counts the request against the rate limit. If the key may only read, the answer is read from
    /// another server than the primary if there is one.
    pub(crate) async fn authenticate(
        headers: &HeaderMap,
        extensions: &Extensions,
        state: &State,
    ) -> Result<Self, Error> {
        let from_primary = must_be_primary(extensions);
        let key = edge::key_of(headers).ok_or_else(CloudError::unauthorized)?;
        let verifier = state.verifier.as_ref().filter(|_| !is_own_key(key));
        let bearer = match verifier {
            Some(verifier) => verifier
                .access(key, Purpose::Read)
                .await
                .map_err(|error| CloudError::unavailable(&error))?
                .map(|access| Self {
                    may_be_behind: may_be_behind(&access) && !from_primary,
                    access,
                    is_verified: true,
                    account_version: None,
                    read_version: None,
                    begun: None,
                }),
            None => Self::begin(key, state, from_primary).await?,
        };
        let bearer = bearer.ok_or_else(CloudError::unauthorized)?;
        if let [account] = bearer.access.accounts[..] {
            traces::set_account(account.0);
        }
        state.rate.check(bearer.access.token_id).map_err(CloudError::from)?;
        Ok(bearer)
    }

    /// Looks up a key that this service issued, in the transaction that the request then reads in.
    async fn begin(key: &str, state: &State, from_primary: bool) -> Result<Option<Self>, Error> {
        let begin = queries::begin_by_key(hash_of_key(key));
        if state.reads.primary_is_down() {
            return Self::begin_on_replica(&begin, state).await;
        }
        let begun = state.reads.primary().begin(&begin).await;
        let (mut lent, rows) = begun.inspect_err(|error| note_outage(error, state))?;
        let Some(found) = queries::Found::read(&rows)? else {
            let operator = operator(&mut lent, key, state).await?;
            return Ok(operator.map(|(token, _)| Self::of_operator(&token)));
        };
        let access = found.holder.access;
        state.deleted_tokens.postgres_was_reached(lent.connected_at());
        if state.deleted_tokens.contain(access.token_id).await? {
            return Ok(None);
        }
        if !found.use_noted {
            state.token_use.note(state.reads.primary(), access.token_id);
        }
        let account_version = found.holder.account_version;
        let mut read_version = account_version;
        let may_be_behind = may_be_behind(&access) && !from_primary;
        if let Some(replica) = state.reads.replica().filter(|_| may_be_behind)
            // A token that is not known there yet is one whose data is not there yet.
            && let Some((on_replica, found)) = usable(begun_on_replica(replica, &begin).await)?
        {
            (lent, read_version) = (on_replica, found.holder.account_version);
        }
        Ok(Some(Self {
            access,
            is_verified: false,
            account_version,
            read_version,
            begun: Some(lent),
            may_be_behind,
        }))
    }

    /// The same while the primary is down. The bucket knows the tokens that were deleted meanwhile. No version is known, because the primary
    /// may have had a newer one.
    async fn begin_on_replica(begin: &str, state: &State) -> Result<Option<Self>, Error> {
        let Some(replica) = state.reads.replica() else {
            return Err(sqlx::Error::PoolTimedOut.into());
        };
        let Some((lent, found)) = begun_on_replica(replica, begin).await? else {
            // The primary may know it: it may be newer than what is read here.
            return Err(sqlx::Error::PoolTimedOut.into());
        };
        let access = found.holder.access;
        state.deleted_tokens.postgres_is_down();
        if state.deleted_tokens.contain(access.token_id).await? {
            return Ok(None);
        }
        Ok(Some(Self {
            access,
            is_verified: false,
            account_version: None,
            read_version: None,
            begun: Some(lent),
            may_be_behind: true,
        }))
    }

    /// The holder of a token for operators, who may do nothing here.
    fn of_operator(token: &OperatorToken) -> Self {
        Self {
            access: Access::none(token.id),
            is_verified: false,
            account_version: None,
            read_version: None,
            begun: None,
            may_be_behind: false,
        }
    }

    /// Hands this bearer to the handler of the request.
    pub(crate) fn hand_over(self, extensions: &mut Extensions) {
        extensions.insert(Handover(Arc::new(Mutex::new(Some(self)))));
    }

    /// Takes the bearer that the middleware found, or authenticates. The token must have one of these scopes.
    pub(super) async fn of(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
        let handed = parts.extensions.remove::<Handover>();
        let bearer = match handed.and_then(|Handover(it)| it.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            Some(bearer) => bearer,
            None => Self::authenticate(&parts.headers, &parts.extensions, state).await?,
        };
        if !scopes.iter().any(|scope| bearer.access.allows(*scope)) {
            return Err(CloudError::forbidden().into());
        }
        Ok(bearer)
    }

    /// A view of one of the token's accounts; none if the account is not active.
    pub(super) async fn view(&mut self, state: &State, account: AccountId) -> sqlx::Result<Option<View>> {
        let (transaction, environments) = match self.begun.take() {
            // A key that this service issued belongs to a single account.
            Some(begun) => (begun, bound(&self.access.environments)),
            None => {
                let begin = queries::begin_in_account(account, &self.access.environments);
                let primary_is_down = state.reads.primary_is_down();
                let pool = state
                    .reads
                    .replica()
                    .filter(|_| primary_is_down)
                    .unwrap_or(state.reads.primary());
                let (mut lent, rows) = pool.begin(&begin).await?;
                let begun = queries::Begun::read(&rows)?;
                if self.is_verified && !begun.is_active {
                    return Ok(None);
                }
                if let Some(replica) = state.reads.replica().filter(|_| self.may_be_behind && !primary_is_down)
                    && let Some((on_replica, _)) = usable(replica.begin(&begun.begin_again(account)).await.map(Some))?
                {
                    lent = on_replica;
                }
                (lent, begun.environments)
            }
        };
        Ok(Some(View {
            account,
            accounts: self.access.accounts.clone(),
            environments,
            transaction,
        }))
    }

    /// A view of the token's first active account.
    pub(super) async fn first_view(&mut self, state: &State) -> sqlx::Result<Option<View>> {
        for account in self.access.accounts.clone() {
            if let Some(view) = self.view(state, account).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// A view of the account that has the named environment or project, or of the first account if none has it.
    pub(super) async fn view_of_named(&mut self, state: &State, named: &Named) -> Result<Option<View>, UploadError> {
        let mut found = None;
        for account in self.access.accounts.clone() {
            let view = self.view(state, account).await.map_err(Error::from)?;
            let Some(mut view) = view else { continue };
            if named.is_in(&mut view).await.map_err(Error::from)? && found.replace(account).is_some() {
                let message = "exists in several of the token's accounts: use a token for a single account";
                return Err(UploadError::unprocessable(named.field, message));
            }
        }
        let view = match found {
            Some(account) => self.view(state, account).await,
            None => self.first_view(state).await,
        };
        Ok(view.map_err(Error::from)?)
    }
}

/// Looks up the token for operators with this key, and whether its use was noted; none if it was deleted.
pub(super) async fn operator(
    lent: &mut Lent,
    key: &str,
    state: &State,
) -> Result<Option<(OperatorToken, bool)>, Error> {
    let found = queries::operator_by_key(&mut **lent, hash_of_key(key)).await?;
    state.deleted_tokens.postgres_was_reached(lent.connected_at());
    match found {
        Some((token, _)) if state.deleted_tokens.contain(token.id).await? => Ok(None),
        found => Ok(found),
    }
}

/// Whether what a token reads may be a little older: a client that uploads reads what it has just written.
fn may_be_behind(access: &Access) -> bool {
    !access.allows(Scope::Upload)
}

/// What PostgreSQL says of a key after it was down is not all that is known.
pub(super) fn note_outage(error: &sqlx::Error, state: &State) {
    if is_outage(error) && !is_conflict(error) {
        state.deleted_tokens.postgres_is_down();
    }
}

/// Looks up the holder of a key on a server that may be behind the primary.
async fn begun_on_replica(replica: &ReadPool, begin: &str) -> sqlx::Result<Option<(Lent, queries::Found)>> {
    let (lent, rows) = replica.begin(begin).await?;
    Ok(queries::Found::read(&rows)?.map(|found| (lent, found)))
}

/// Nothing if the server cannot be used now, because another one can.
fn usable<T>(begun: sqlx::Result<Option<T>>) -> sqlx::Result<Option<T>> {
    match begun {
        Err(error) if is_outage(&error) => {
            tracing::warn!(%error, "the server of DB_READ_URL cannot be used, so the primary is read");
            Ok(None)
        }
        begun => begun,
    }
}

/// The environments of a key that this service issued: all, or one.
fn bound(environments: &Environments) -> Option<Vec<i64>> {
    let Environments::Only(names) = environments else {
        return None;
    };
    let ids = names.iter().filter_map(|name| match name {
        IdOrSlug::Id(id) => Some(*id),
        IdOrSlug::Slug(_) => None,
    });
    Some(ids.collect())
}
