//! Records when tokens were used.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use directory::queries;
use schemas::TokenId;
use service::ReadPool;
use uuid::Uuid;

/// Records the use of tokens in the background, because a request reads in a transaction that cannot write. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TokenUse(Arc<Mutex<HashSet<Uuid>>>);

impl TokenUse {
    /// Begins to record that a token was used. Requests that arrive meanwhile do not record the same again.
    pub(crate) fn note(&self, pool: &ReadPool, token: TokenId) {
        if !self.noting().insert(token.0) {
            return;
        }
        let (noted, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            if let Err(error) = pool.write(&queries::note_use(token)).await {
                tracing::warn!(%error, "cannot record the use of a token");
            }
            noted.noting().remove(&token.0);
        });
    }

    fn noting(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
