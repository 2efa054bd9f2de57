//! Authenticates uploads.

use axum::http::request::Parts;
use directory::Access;
use edge::{UploadError, key_of};
use schemas::Scope;

use crate::Ingest;

impl Ingest {
    /// Returns what the request's key gives access to. Fails unless the key allows uploads.
    pub(crate) async fn authenticate(&self, head: &Parts) -> Result<Access, UploadError> {
        let key = key_of(&head.headers).ok_or_else(UploadError::unauthorized)?;
        let access = self.directory.access(key).await?;
        let access = access.ok_or_else(UploadError::unauthorized)?;
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
}
