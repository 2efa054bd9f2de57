//! What a request may see: one account of its token, in one read-only transaction.

mod bearer;
mod keys;
mod named;

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use directory::queries;
use edge::{CloudError, UploadError};
use schemas::{AccountId, EnvironmentId, RecordState, Scope};
use serde::de::DeserializeOwned;
use service::Lent;
use sqlx::PgConnection;

use crate::error::Error;
use crate::state::State;
pub(crate) use bearer::Bearer;
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
