//! Records deleted tokens as `revocations/<token id>`. These are checked while the database is unavailable, and after it was.

use std::collections::HashSet;

use bytes::Bytes;
use schemas::TokenId;

use crate::{Bucket, Error};

impl Bucket {
    /// Records that a token is deleted. This may be repeated.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn revoke(&self, token: TokenId) -> Result<(), Error> {
        self.overwrite(&key(token), Bytes::new()).await
    }

    /// Returns whether a token is deleted.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable. Then the token must not be trusted.
    pub async fn is_revoked(&self, token: TokenId) -> Result<bool, Error> {
        // Not `exists`: a HEAD has no body to distinguish a missing bucket from a missing object, and a missing bucket must be an error.
        match self.get(&key(token)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns all tokens that are deleted.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn revoked_tokens(&self) -> Result<HashSet<TokenId>, Error> {
        let names = self.list(REVOCATIONS).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

const REVOCATIONS: &str = "revocations";

fn key(token: TokenId) -> String {
    format!("{REVOCATIONS}/{token}")
}
