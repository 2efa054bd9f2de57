//! Authenticates uploads, and finds the environments that they belong to.

use axum::http::request::Parts;
use directory::{Access, EnvironmentEntry, Environments, IdOrSlug};
use edge::{UploadError, key_of};
use schemas::{AccountId, Scope, Slug};

use crate::Ingest;
use crate::directory::Unavailable;
use crate::refused::Found;

impl Ingest {
    /// Returns what the request's key gives access to. Fails unless the key allows uploads.
    pub(crate) async fn authenticate(&self, head: &Parts) -> Result<Access, UploadError> {
        let key = key_of(&head.headers).ok_or_else(UploadError::unauthorized)?;
        let access = self.directory.access(key).await?;
        let access = access.ok_or_else(UploadError::unauthorized)?;
        Found::of(head).note_holder(&access);
        if let [account] = access.accounts[..] {
            traces::set_account(account.0);
        }
        self.rate.check(access.token_id)?;
        if !access.allows(Scope::Upload) {
            return Err(UploadError::forbidden(
                "the token does not allow uploads: its scopes lack `upload`",
            ));
        }
        Ok(access)
    }

    /// Finds the environment of an upload. The slug may be missing if the token is bound to one environment. Returns `None` if there is no such
    /// environment.
    pub(crate) async fn find_environment(
        &self,
        access: &Access,
        slug: Option<&str>,
    ) -> Result<Option<EnvironmentEntry>, UploadError> {
        let name = match (slug.map(str::parse::<Slug>), access.environments.only()) {
            (Some(Ok(slug)), _) => Some(IdOrSlug::Slug(slug)),
            (Some(Err(_)), _) => None,
            (None, Some(only)) => Some(only.clone()),
            (None, None) => {
                let message = "can't be blank: this token is not bound to one environment";
                return Err(UploadError::unprocessable("environment_slug", message));
            }
        };
        let known = match &name {
            Some(name) => self.directory.environments(&access.accounts, name).await,
            None => Ok(Vec::new()),
        };
        let known = known?;
        let is_unknown = known.is_empty();
        let mut seen = known.into_iter().filter(|entry| access.sees(entry));
        match (seen.next(), seen.next(), slug) {
            (Some(entry), None, _) => Ok(Some(entry)),
            (Some(_), Some(_), _) => {
                let message = "several of the token's accounts have an environment with this slug; use a token for a single account";
                Err(UploadError::unprocessable("environment_slug", message))
            }
            (None, _, Some(_)) if is_unknown && access.environments == Environments::All => Ok(None),
            (None, _, Some(slug)) => {
                let message = format!("the token does not allow the environment `{slug}`");
                Err(UploadError::forbidden(message))
            }
            (None, _, None) => Err(UploadError::forbidden(
                "the environment that the token is bound to is not active",
            )),
        }
    }

    /// Finds an environment of this account that the token sees. Returns `None` in the same way for one that it does not see and for one that
    /// does not exist.
    pub(crate) async fn seen_environment(
        &self,
        access: &Access,
        account: AccountId,
        name: &IdOrSlug,
    ) -> Result<Option<EnvironmentEntry>, Unavailable> {
        let entries = self.directory.environments(&[account], name).await?;
        Ok(entries.into_iter().find(|entry| access.sees(entry)))
    }
}
