//! Deleted tokens: `revocations/<token id>`. Asked for when the database is away.

use bytes::Bytes;
use schemas::TokenId;

use crate::{Bucket, Error};

impl Bucket {
    /// Notes that the token is deleted. May be repeated.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn revoke(&self, token: TokenId) -> Result<(), Error> {
        self.overwrite(&key(token), Bytes::new()).await
    }

    /// Whether the token is deleted.
    ///
    /// # Errors
    /// Unavailable; then the token must not be trusted.
    pub async fn is_revoked(&self, token: TokenId) -> Result<bool, Error> {
        // Not `exists`: a HEAD has no body to tell an absent bucket from an absent object, and an absent bucket must not pass.
        match self.get(&key(token)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn key(token: TokenId) -> String {
    format!("revocations/{token}")
}
