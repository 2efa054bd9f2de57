//! Looks up keys in PostgreSQL, and waits no longer for it once it does not answer.

use std::time::Duration;

use bucket::DeletedTokens;
use directory::queries::OperatorToken;
use directory::{Access, queries};
use schemas::Sha256;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::MAX_LOOKUP_TIME;

/// The pause between two attempts to reach PostgreSQL while it does not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// The hash of no key.
const NO_KEY: Sha256 = Sha256([0; 32]);

/// Keys of tokens in PostgreSQL.
pub(super) struct Keys {
    pool: PgPool,
    deleted_tokens: DeletedTokens,
    /// Whether PostgreSQL did not answer the last time.
    down: watch::Sender<bool>,
}

/// PostgreSQL does not answer.
pub(super) struct Away;

impl Keys {
    pub(super) fn new(pool: PgPool, deleted_tokens: DeletedTokens) -> Self {
        Self {
            pool,
            deleted_tokens,
            down: watch::Sender::new(false),
        }
    }

    /// Returns what a key gives access to. It waits for PostgreSQL a short time, and not at all after PostgreSQL did not answer, until
    /// [`Self::watch`] has found it back.
    pub(super) async fn look_up(&self, hash: Sha256) -> Result<Option<Access>, Away> {
        let holder = self.ask(queries::key_holder(&self.pool, hash)).await?;
        Ok(holder.map(|holder| holder.access))
    }

    /// Returns the token for operators with a key, and records its use. It waits as [`Self::look_up`] does.
    pub(super) async fn look_up_operator(&self, hash: Sha256) -> Result<Option<OperatorToken>, Away> {
        let looking = async {
            let found = queries::operator_by_key(&self.pool, hash).await?;
            if let Some((token, false)) = &found
                && let Err(error) = queries::note_token_use(&self.pool, token.id).await
            {
                // It is only information, and cannot be written while the server is read-only.
                tracing::debug!(%error, "cannot record that a token was used");
            }
            Ok(found.map(|(token, _)| token))
        };
        self.ask(looking).await
    }

    async fn ask<T>(&self, question: impl Future<Output = sqlx::Result<T>>) -> Result<T, Away> {
        if self.are_down() {
            return Err(Away);
        }
        match timeout(MAX_LOOKUP_TIME, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot look up a key in PostgreSQL; using the copy in memory until it answers");
            }
            Err(_) => {
                tracing::warn!("PostgreSQL is too slow to look up a key; using the copy in memory until it answers");
            }
        }
        self.deleted_tokens.postgres_is_down();
        self.down.send_replace(true);
        Err(Away)
    }

    /// Whether PostgreSQL did not answer the last time.
    pub(super) fn are_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Looks for PostgreSQL while it does not answer. Never ends.
    pub(super) async fn watch(&self) {
        let mut down = self.down.subscribe();
        while down.wait_for(|down| *down).await.is_ok() {
            sleep(PAUSE).await;
            let asked = timeout(MAX_LOOKUP_TIME, queries::key_holder(&self.pool, NO_KEY)).await;
            if matches!(asked, Ok(Ok(_))) {
                // It was down until now, and tokens that were deleted meanwhile may still be in its tables.
                self.deleted_tokens.postgres_is_down();
                self.down.send_replace(false);
                tracing::info!("keys are looked up in PostgreSQL again");
            }
        }
    }
}
