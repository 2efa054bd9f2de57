//! What one request may see: an account of its token, in one transaction that cannot write.

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use directory::{Access, Environments, Name, hash_of_key, is_own_key, queries};
use edge::{CloudError, Purpose, UploadError, read_query};
use schemas::{AccountId, EnvironmentId, Scope};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::State;
use crate::error::Error;

/// The right to read, checked: of an account of the token, which is the one that the path names, and of the environments that the token
/// sees. Taken as a handler's argument.
pub(crate) struct View {
    account: AccountId,
    /// All that the token sees.
    accounts: Vec<AccountId>,
    /// The environments that are seen; none: all of the account.
    environments: Option<Vec<i64>>,
    transaction: Transaction<'static, Postgres>,
}

impl View {
    /// Whose data is seen.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// The only environment that is seen, where there is only one.
    pub(crate) fn environment(&self) -> Option<EnvironmentId> {
        match self.environments.as_deref() {
            Some([only]) => Some(EnvironmentId(*only)),
            _ => None,
        }
    }

    /// The transaction, under row-level security.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The accounts that the token sees: the view's own, and others that are in use.
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
            rows.extend(row.filter(|row| row.state == ACTIVE));
        }
        if !others.is_empty() {
            queries::see_account(self.connection(), own).await?;
        }
        Ok(rows)
    }

    /// Checks the request's key: its token must allow one of these.
    async fn enter(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
        let bearer = Bearer::of(parts, state, scopes).await?;
        let path = RawPathParams::from_request_parts(parts, &())
            .await
            .map_err(|_| CloudError::not_found())?;
        let view = match path.iter().find(|(name, _)| *name == "account_id") {
            Some((_, id)) => {
                let named = id.parse().ok().filter(|id| bearer.access.accounts.contains(id));
                // Another's account is answered as one that does not exist: which do is not told.
                let named = named.ok_or_else(CloudError::not_found)?;
                match bearer.view(state, named).await? {
                    // One of its accounts is not in use, and others are.
                    None if bearer.first_view(state).await?.is_some() => return Err(CloudError::not_found().into()),
                    view => view,
                }
            }
            None => bearer.first_view(state).await?,
        };
        Ok(view.ok_or_else(CloudError::unauthorized)?)
    }
}

/// As the directory writes it.
const ACTIVE: &str = "active";

/// Begins a transaction in a task of its own: when a request is given up while its transaction begins, sqlx puts the connection back with the
/// transaction open, and whoever gets it next reads in that one.
async fn begin_with(pool: &PgPool, statement: String) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let beginning = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(statement)).await });
    beginning.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// Whose key a request has.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) access: Access,
    /// Datacoves gave the key, and not we.
    is_verified: bool,
    /// Of what the key's account had when it was looked for; none where that is not known.
    pub(crate) account_version: Option<Uuid>,
}

impl Bearer {
    /// The bearer of the request's key. Counts the request.
    pub(crate) async fn authenticate(headers: &HeaderMap, state: &State) -> Result<Self, Error> {
        let key = edge::key_of(headers).ok_or_else(CloudError::unauthorized)?;
        let verifier = state.verifier.as_ref().filter(|_| !is_own_key(key));
        let bearer = match verifier {
            Some(verifier) => verifier
                .access(key, Purpose::Read)
                .await
                .map_err(|error| CloudError::unavailable(&error))?
                .map(|access| Self {
                    access,
                    is_verified: true,
                    account_version: None,
                }),
            None => queries::key_holder(&state.pool, hash_of_key(key))
                .await?
                .map(|holder| Self {
                    access: holder.access,
                    is_verified: false,
                    account_version: holder.account_version,
                }),
        };
        let bearer = bearer.ok_or_else(CloudError::unauthorized)?;
        state.rate.check(bearer.access.token_id).map_err(CloudError::from)?;
        Ok(bearer)
    }

    /// The same, unless it was done on the way to the handler; and its token must allow one of these.
    async fn of(parts: &mut Parts, state: &State, scopes: &[Scope]) -> Result<Self, Error> {
        let bearer = match parts.extensions.remove::<Self>() {
            Some(bearer) => bearer,
            None => Self::authenticate(&parts.headers, state).await?,
        };
        if !scopes.iter().any(|scope| bearer.access.allows(*scope)) {
            return Err(CloudError::forbidden().into());
        }
        Ok(bearer)
    }

    /// A view of an account of the token. None: the account is not in use.
    async fn view(&self, state: &State, account: AccountId) -> sqlx::Result<Option<View>> {
        let environments = match &self.access.environments {
            Environments::Only(names) => numbers(names),
            Environments::All | Environments::OfProjects(_) => None,
        };
        let seen = environments.as_deref().map(array).unwrap_or_default();
        // Numbers only. One simple query, so that no read can come before the settings.
        let begin = format!(
            "BEGIN READ ONLY; SET LOCAL app.account_id = '{account}'; SET LOCAL app.environment_ids = '{seen}'"
        );
        let mut view = View {
            account,
            accounts: self.access.accounts.clone(),
            environments,
            transaction: begin_with(&state.pool, begin).await?,
        };
        if self.is_verified {
            let row = queries::account(view.connection(), account).await?;
            if row.is_none_or(|row| row.state != ACTIVE) {
                return Ok(None);
            }
        }
        let named = match &self.access.environments {
            Environments::Only(names) if view.environments.is_none() => {
                queries::environments_named(view.connection(), account, names).await?
            }
            Environments::OfProjects(names) => {
                queries::environments_of_projects_named(view.connection(), account, names).await?
            }
            Environments::All | Environments::Only(_) => return Ok(Some(view)),
        };
        queries::see_environments(view.connection(), &named).await?;
        view.environments = Some(named);
        Ok(Some(view))
    }

    /// A view of the first account that is in use.
    async fn first_view(&self, state: &State) -> sqlx::Result<Option<View>> {
        for account in &self.access.accounts {
            if let Some(view) = self.view(state, *account).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// A view of the account that has what is named: an environment, or a project. Where none has it, of the first.
    async fn view_of_named(&self, state: &State, named: &Named) -> Result<Option<View>, UploadError> {
        let mut found = None;
        for account in &self.access.accounts {
            let view = self.view(state, *account).await.map_err(Error::from)?;
            let Some(mut view) = view else { continue };
            if named.is_in(&mut view).await.map_err(Error::from)? && found.replace(*account).is_some() {
                let message = "several of the token's accounts have it; use a token of one account";
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

/// What a request without an account names.
struct Named {
    /// `environment_slug` or `project_slug`.
    field: &'static str,
    name: String,
}

impl Named {
    async fn of(parts: &mut Parts) -> Option<Self> {
        let path = RawPathParams::from_request_parts(parts, &()).await.ok()?;
        let of_path = |param: &str| {
            path.iter()
                .find(|(name, _)| *name == param)
                .map(|(_, value)| value.to_owned())
        };
        #[derive(Deserialize)]
        struct EnvironmentSlug {
            environment_slug: Option<String>,
        }
        let query = parts.uri.query().unwrap_or_default();
        if let Some(name) = of_path(PROJECT_SLUG) {
            return Some(Self {
                field: PROJECT_SLUG,
                name,
            });
        }
        let of_query = || read_query::<EnvironmentSlug>(query).ok()?.environment_slug;
        let name = of_path("slug").or_else(of_query);
        name.map(|name| Self {
            field: ENVIRONMENT_SLUG,
            name,
        })
    }

    async fn is_in(&self, view: &mut View) -> sqlx::Result<bool> {
        let account = view.account();
        Ok(if self.field == PROJECT_SLUG {
            queries::project_named(view.connection(), account, &self.name)
                .await?
                .is_some()
        } else {
            queries::environment_named(view.connection(), account, &self.name)
                .await?
                .is_some()
        })
    }
}

const PROJECT_SLUG: &str = "project_slug";
const ENVIRONMENT_SLUG: &str = "environment_slug";

/// The numbers, where all are.
fn numbers(names: &[Name]) -> Option<Vec<i64>> {
    let numbers = names.iter().map(|name| match name {
        Name::Id(id) => Some(*id),
        Name::Slug(_) => None,
    });
    numbers.collect()
}

/// As PostgreSQL writes an array.
fn array(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

impl FromRequestParts<State> for View {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Error> {
        Self::enter(parts, state, &[Scope::Read]).await
    }
}

/// The right to read files and whole manifests, and of where they belong what it is, which those who upload have too. On routes of dbt
/// Cloud's form.
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
        let bearer = Bearer::of(parts, state, &[Scope::Read, Scope::Upload]).await?;
        let view = match Named::of(parts).await {
            Some(named) if bearer.access.accounts.len() > 1 => bearer.view_of_named(state, &named).await?,
            _ => bearer.first_view(state).await.map_err(Error::from)?,
        };
        Ok(Self(view.ok_or_else(UploadError::unauthorized)?))
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
