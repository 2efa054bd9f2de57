//! Which tokens were deleted, as a process knows it besides PostgreSQL.
//!
//! A token that is deleted while PostgreSQL is down is valid again in its tables when it returns, until a projector applies the event. So what
//! PostgreSQL says of a token is believed only if `revocations/` was listed since it was reached.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use schemas::TokenId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, Problem};
use crate::store::Bucket;

/// How often the revocations are listed. Somebody who cannot reach PostgreSQL may delete a token, although this process can reach it.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// The shortest time between two listings.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a listing may take.
const MAX_LISTING: Duration = Duration::from_secs(60);

/// How long a look for one revocation may take. A client waits for it.
const MAX_LOOK: Duration = Duration::from_secs(2);

/// How long others may find PostgreSQL down after this process has reached it again.
const RETURN: Duration = Duration::from_secs(30);

/// The tokens that were deleted. Normally a set in memory answers; after PostgreSQL was down, the bucket is asked for each token until a new
/// set is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DeletedTokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    state: RwLock<State>,
    /// Wakes the task that lists, because the set may lack tokens.
    doubted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Tokens that were deleted. A token is never taken out.
    known: HashSet<TokenId>,
    /// When the last listing began that was read to its end.
    listed: Option<Instant>,
    /// A listing that began before this moment may lack tokens that PostgreSQL admits.
    doubt: Option<Instant>,
    /// The same, where PostgreSQL was seen to be down, so that no token may be believed.
    outage: Option<Instant>,
    /// Whether the bucket did not answer the last time.
    is_bucket_down: bool,
}

impl State {
    /// Whether all tokens are known that were deleted before this moment.
    fn is_complete_since(&self, moment: Option<Instant>) -> bool {
        moment.is_none_or(|moment| self.listed.is_some_and(|listed| listed >= moment))
    }

    fn is_complete(&self) -> bool {
        self.listed.is_some() && self.is_complete_since(self.doubt)
    }

    /// When the next listing should begin.
    fn next(&self) -> Option<Instant> {
        let listed = self.listed.filter(|_| !self.is_bucket_down)?;
        let renewal = listed + LIST_EVERY;
        Some(
            self.doubt
                .filter(|_| !self.is_complete())
                .map_or(renewal, |doubt| doubt.min(renewal)),
        )
    }
}

impl DeletedTokens {
    /// Knows none yet: the bucket is asked for each token until [`Self::run`] has listed them.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self(Arc::new(Inner {
            bucket,
            state: RwLock::default(),
            doubted: Notify::new(),
        }))
    }

    /// Says that a new connection to PostgreSQL was opened at this moment. It may have been down before, without having been missed.
    pub fn postgres_was_reached(&self, moment: std::time::Instant) {
        let moment = Instant::from_std(moment);
        if self.state().is_complete_since(Some(moment)) {
            return;
        }
        let mut state = self.state_mut();
        state.doubt = state.doubt.max(Some(moment));
        drop(state);
        self.0.doubted.notify_one();
    }

    /// Says that PostgreSQL does not answer.
    pub fn postgres_is_down(&self) {
        let end = Some(Instant::now() + RETURN);
        let mut state = self.state_mut();
        state.doubt = state.doubt.max(end);
        state.outage = state.outage.max(end);
        drop(state);
        self.0.doubted.notify_one();
    }

    /// Whether a token was deleted that PostgreSQL admits.
    ///
    /// # Errors
    /// Fails if PostgreSQL was down and the bucket cannot be asked. Then the token must not be trusted. While only the bucket is down, what
    /// PostgreSQL says counts.
    pub async fn contain(&self, token: TokenId) -> Result<bool, Error> {
        let must_ask = {
            let state = self.state();
            if state.known.contains(&token) {
                return Ok(true);
            }
            let must_ask = !state.is_complete_since(state.outage);
            if state.is_complete() || (state.is_bucket_down && !must_ask) {
                return Ok(false);
            }
            must_ask
        };
        match self.look_for(token).await {
            Ok(is_deleted) => {
                if is_deleted {
                    self.state_mut().known.insert(token);
                }
                Ok(is_deleted)
            }
            Err(error) if must_ask => Err(error),
            Err(error) => {
                self.note_bucket_down(&error);
                Ok(false)
            }
        }
    }

    async fn look_for(&self, token: TokenId) -> Result<bool, Error> {
        let bucket = &self.0.bucket;
        timeout(MAX_LOOK, bucket.is_revoked(token)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s whether a token was deleted", MAX_LOOK.as_secs());
            Err(Error::unavailable(&bucket.location, Problem::Unreachable, reason))
        })
    }

    /// Lists the revocations again and again. Never ends.
    pub async fn run(&self) {
        loop {
            self.list().await;
            sleep(PAUSE).await;
            while let Some(pause) = self.pause() {
                let _ = timeout(pause, self.0.doubted.notified()).await;
            }
        }
    }

    /// How long to wait for the next listing; nothing if it should begin.
    fn pause(&self) -> Option<Duration> {
        let pause = self.state().next()?.duration_since(Instant::now());
        (!pause.is_zero()).then_some(pause)
    }

    async fn list(&self) {
        let begun = Instant::now();
        let bucket = &self.0.bucket;
        let listed = timeout(MAX_LISTING, bucket.revoked_tokens()).await.unwrap_or_else(|_| {
            let reason = format!(
                "the tokens that were deleted were not listed within {} s",
                MAX_LISTING.as_secs()
            );
            Err(Error::unavailable(&bucket.location, Problem::Unreachable, reason))
        });
        match listed {
            Ok(tokens) => {
                let mut state = self.state_mut();
                state.known.extend(tokens);
                state.listed = Some(begun);
                state.is_bucket_down = false;
            }
            Err(error) => self.note_bucket_down(&error),
        }
    }

    fn note_bucket_down(&self, error: &Error) {
        if !std::mem::replace(&mut self.state_mut().is_bucket_down, true) {
            tracing::warn!(%error, "cannot look in the bucket for tokens that were deleted; trying again");
        }
        self.0.doubted.notify_one();
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
