//! What a request may see: one account of its token, in one read-only transaction.

mod keys;
mod named;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use directory::queries::OperatorToken;
use directory::{Access, Environments, IdOrSlug, hash_of_key, is_own_key, queries};
use edge::{CloudError, Purpose, UploadError};
use read_model::outage::{is_conflict, is_outage};
use schemas::{AccountId, EnvironmentId, RecordState, Scope};
use serde::de::DeserializeOwned;
use service::{Lent, ReadPool};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::again::must_be_primary;
use crate::error::Error;
use crate::state::State;
pub use keys::{may_read, operator_of_key};
use named::Named;

/// The checked right to read the account that the path names and the environments that the token may see. Handlers take it as an argument.
pub struct View {
    account: AccountId,
    /// All accounts that the token may see.
    accounts: Vec<AccountId>,
    /// The environments that are visible; none means all of the account.
    environments: Option<Vec<i64>>,
    transaction: Lent,
}

impl View {
    /// The account whose data is visible.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The visible environment, if there is exactly one.
    #[must_use]
    pub fn environment(&self) -> Option<EnvironmentId> {
        match self.environments.as_deref() {
            Some([only]) => Some(EnvironmentId(*only)),
            _ => None,
        }
    }

    /// The only environments that are visible; none if all of the account are.
    #[must_use]
    pub fn environments(&self) -> Option<&[i64]> {
        self.environments.as_deref()
    }

    /// The transaction, to which row-level security applies.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The accounts that the token may see: the view's own, and the others that are active.
    pub(crate) async fn accounts(&mut self) -> sqlx::Result<Vec<queries::Account>> {
        let own = self.account;
        let mut rows: Vec<_> = queries::account(self.connection(), own).await?.into_iter().collect();
        let others: Vec<AccountId> = self
            .accounts
            .iter()
            .copied()
            .filter(|account| *account != own)
            .collect();
        for account in &others {
            queries::see_account(self.connection(), *account).await?;
            let row = queries::account(self.connection(), *account).await?;
            rows.extend(row.filter(|row| row.state == RecordState::Active.as_str()));
        }
        if !others.is_empty() {
            queries::see_account(self.connection(), own).await?;
        }
        Ok(rows)
    }

    /// Adds the account to the request's trace, unless it was known with the token.
    fn note_account(&self) {
        if self.accounts.len() > 1 {
            traces::set_account(self.account.0);
        }
    }

    /// Checks the request's key. Its token must have one of these scopes.
    async fn enter(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
        let mut bearer = Bearer::of(parts, state, scopes).await?;
        let path = RawPathParams::from_request_parts(parts, &())
            .await
            .map_err(|_| CloudError::not_found())?;
        let view = match path.iter().find(|(name, _)| *name == "account_id") {
            Some((_, id)) => {
                let named = id.parse().ok().filter(|id| bearer.access.accounts.contains(id));
                // Another account is answered like one that does not exist, so that nobody can find out which accounts exist.
                let named = named.ok_or_else(CloudError::not_found)?;
                match bearer.view(state, named).await? {
                    // This account is not active, but another of the token's is.
                    None if bearer.first_view(state).await?.is_some() => return Err(CloudError::not_found().into()),
                    view => view,
                }
            }
            None => bearer.first_view(state).await?,
        };
        let view = view.ok_or_else(CloudError::unauthorized)?;
        view.note_account();
        Ok(view)
    }
}

/// The right to read all accounts of a token, where the request does not name one in its path.
pub(crate) struct Reader(Bearer);

impl Reader {
    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.0.access.accounts.clone()
    }

    /// A view of one of the token's accounts; none if the account is not active.
    pub(crate) async fn view(&mut self, state: &State, account: AccountId) -> sqlx::Result<Option<View>> {
        self.0.view(state, account).await
    }

    /// Gives the connection back for now, since the client is slow.
    pub(crate) fn rest(&mut self) {
        self.0.begun = None;
    }

    /// Reads from the primary from now on. Returns whether another server was read until now.
    pub(crate) fn turn_to_primary(&mut self, state: &State) -> bool {
        self.rest();
        std::mem::take(&mut self.0.may_be_behind) && state.reads.replica().is_some()
    }
}

impl FromRequestParts<State> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Ok(Self(Bearer::of(parts, state, &[Scope::Read]).await?))
    }
}

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
    begun: Option<Lent>,
    /// Whether the answer may be read from a server that is behind the primary.
    may_be_behind: bool,
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
            let operator = keys::operator(&mut lent, key, state).await?;
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

    /// Hands this bearer to the handler of the request.
    pub(crate) fn hand_over(self, extensions: &mut Extensions) {
        extensions.insert(Handover(Arc::new(Mutex::new(Some(self)))));
    }

    /// Takes the bearer that the middleware found, or authenticates. The token must have one of these scopes.
    async fn of(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
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
    async fn view(&mut self, state: &State, account: AccountId) -> sqlx::Result<Option<View>> {
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
    async fn first_view(&mut self, state: &State) -> sqlx::Result<Option<View>> {
        for account in self.access.accounts.clone() {
            if let Some(view) = self.view(state, account).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// A view of the account that has the named environment or project, or of the first account if none has it.
    async fn view_of_named(&mut self, state: &State, named: &Named) -> Result<Option<View>, UploadError> {
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

/// Whether what a token reads may be a little older: a client that uploads reads what it has just written.
fn may_be_behind(access: &Access) -> bool {
    !access.allows(Scope::Upload)
}

/// What PostgreSQL says of a key after it was down is not all that is known.
fn note_outage(error: &sqlx::Error, state: &State) {
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

impl FromRequestParts<State> for View {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Self::enter(parts, state, &[Scope::Read]).await
    }
}

/// The right to read files and whole manifests, and the account, project and environment they belong to. Tokens that may upload have it
/// too. For routes that answer like dbt Cloud.
pub(crate) struct FilesView(pub(crate) View);

impl FromRequestParts<State> for FilesView {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Ok(Self(View::enter(parts, state, &[Scope::Read, Scope::Upload]).await?))
    }
}

/// The same right on the uploaders' routes, whose errors have another form.
pub(crate) struct UploaderView(pub(crate) View);

impl FromRequestParts<State> for UploaderView {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, UploadError> {
        let mut bearer = Bearer::of(parts, state, &[Scope::Read, Scope::Upload]).await?;
        let view = match Named::of(parts).await {
            Some(named) if bearer.access.accounts.len() > 1 => bearer.view_of_named(state, &named).await?,
            _ => bearer.first_view(state).await.map_err(Error::from)?,
        };
        let view = view.ok_or_else(UploadError::unauthorized)?;
        view.note_account();
        Ok(Self(view))
    }
}

/// The parameters of the path. A path whose ids are not numbers is not found.
pub struct Ids<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(CloudError::not_found().into()),
        }
    }
}
