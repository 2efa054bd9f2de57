//! What one request may see: its token's account, in one transaction that cannot write.

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use directory::{Access, hash_of_key};
use edge::{CloudError, UploadError};
use schemas::{AccountId, EnvironmentId, Scope};
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use crate::State;
use crate::error::Error;

/// The right to read, checked: of the token's account, which is the one that the path names, and of the token's environment if it
/// is bound to one. Taken as a handler's argument.
pub(crate) struct View {
    account: AccountId,
    environment: Option<EnvironmentId>,
    transaction: Transaction<'static, Postgres>,
}

impl View {
    /// Whose data is seen.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// The only environment that is seen; none: all of the account.
    pub(crate) fn environment(&self) -> Option<EnvironmentId> {
        self.environment
    }

    /// The transaction, under row-level security.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    async fn open(pool: &PgPool, access: &Access) -> sqlx::Result<Self> {
        let account = access.account_id;
        let environment = access.environment_id.map(|id| id.to_string()).unwrap_or_default();
        // Numbers only. One simple query, so that no read can come before the settings.
        let begin = format!(
            "BEGIN READ ONLY; SET LOCAL app.account_id = '{account}'; SET LOCAL app.environment_id = '{environment}'"
        );
        Ok(Self {
            account,
            environment: access.environment_id,
            transaction: pool.begin_with(AssertSqlSafe(begin)).await?,
        })
    }
}

impl View {
    /// Checks the request's key: its token must allow one of these.
    async fn enter(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
        let key = edge::key_of(&parts.headers).ok_or_else(CloudError::unauthorized)?;
        let access = directory::queries::access_by_key(&state.pool, hash_of_key(key))
            .await?
            .ok_or_else(CloudError::unauthorized)?;
        state.rate.check(access.token_id).map_err(CloudError::from)?;
        if !scopes.iter().any(|scope| access.allows(*scope)) {
            return Err(CloudError::forbidden().into());
        }
        let path = RawPathParams::from_request_parts(parts, &())
            .await
            .map_err(|_| CloudError::not_found())?;
        let named = path.iter().find(|(name, _)| *name == "account_id");
        // Another's account is answered as one that does not exist: which do is not told.
        if named.is_some_and(|(_, id)| id.parse() != Ok(access.account_id)) {
            return Err(CloudError::not_found().into());
        }
        Ok(Self::open(&state.pool, &access).await?)
    }
}

impl FromRequestParts<State> for View {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Self::enter(parts, state, &[Scope::Read]).await
    }
}

/// The right to read files and whole manifests, which those who upload have too. On routes of dbt Cloud's form.
pub(crate) struct FilesView(pub(crate) View);

impl FromRequestParts<State> for FilesView {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Ok(Self(View::enter(parts, state, &[Scope::Read, Scope::Upload]).await?))
    }
}

/// The same on the routes of uploads, whose errors have another form.
pub(crate) struct UploaderView(pub(crate) View);

impl FromRequestParts<State> for UploaderView {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, UploadError> {
        Ok(Self(View::enter(parts, state, &[Scope::Read, Scope::Upload]).await?))
    }
}

/// The path's parameters. A path whose ids are no numbers leads nowhere.
pub(crate) struct Ids<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(CloudError::not_found().into()),
        }
    }
}
