//! What a request may see: one account of its token, in one read-only transaction.

mod account_view;
mod bearer;
mod keys;
mod named;

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use edge::{CloudError, UploadError};
use schemas::{AccountId, Scope};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::state::State;
pub use account_view::View;
pub(crate) use bearer::Bearer;
pub use keys::{may_read, operator_of_key};
use named::Named;

/// Checks the request's key. Its token must have one of these scopes.
async fn enter(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<View, Error> {
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
        enter(parts, state, &[Scope::Read]).await
    }
}

/// The right to read files and whole manifests, and the account, project and environment they belong to. Tokens that may upload have it
/// too. For routes that answer like dbt Cloud.
pub(crate) struct FilesView(pub(crate) View);

impl FromRequestParts<State> for FilesView {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Ok(Self(enter(parts, state, &[Scope::Read, Scope::Upload]).await?))
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
