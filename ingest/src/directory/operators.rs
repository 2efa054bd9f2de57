//! The keys of operators.

use directory::queries::OperatorToken;
use directory::{Snapshot, hash_of_key};

use super::keys::Away;
use super::{Directory, Unavailable};

impl Directory {
    /// Returns the token for operators with this key, if there is one that is valid. While PostgreSQL does not answer, the copy in memory counts.
    ///
    /// # Errors
    /// If neither PostgreSQL nor the bucket can be asked.
    pub async fn operator(&self, key: &str) -> Result<Option<OperatorToken>, Unavailable> {
        let hash = hash_of_key(key);
        match self.0.keys.look_up_operator(hash).await {
            Ok(Some(token)) => return Ok((!self.is_deleted(token.id).await?).then_some(token)),
            Ok(None) if self.postgres_is_complete().await => return Ok(None),
            Ok(None) | Err(Away) => {}
        }
        let now = self.0.clock.now();
        let look = |copy: &Snapshot| copy.operator(&hash, now).cloned();
        let Some(token) = self.find(look, async || self.ask_bucket().await).await? else {
            return Ok(None);
        };
        // The token may have been deleted after the copy was made.
        self.0.deleted_tokens.postgres_is_down();
        Ok((!self.is_deleted(token.id).await?).then_some(token))
    }
}
