//! Limits for keys that are sent to the form for signing in.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use edge::CloudError;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How often one client may send a wrong key per minute before it is asked to wait. A key has 256 random bits, so it cannot be guessed. A right
/// one is always accepted: behind a proxy all clients are one, and nobody may lock out the others.
const PER_CLIENT: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How often all clients may send a wrong key per minute.
const ALL_TOGETHER: NonZeroU32 = NonZeroU32::new(300).unwrap();

/// How many keys are looked up at once: anybody may send one.
const AT_ONCE: usize = 4;

/// How long a key waits until it is looked up.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Limits how often clients send wrong keys, and how many keys are looked up at once.
pub(crate) struct Attempts {
    turns: Semaphore,
    of_client: DefaultKeyedRateLimiter<Option<IpAddr>>,
    of_all: governor::DefaultDirectRateLimiter,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE),
            of_client: RateLimiter::keyed(Quota::per_minute(PER_CLIENT)),
            of_all: RateLimiter::direct(Quota::per_minute(ALL_TOGETHER)),
        }
    }
}

impl Attempts {
    /// Waits until a key may be looked up.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, CloudError> {
        let turn = timeout(MAX_WAIT, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(CloudError::busy)
    }

    /// Counts a wrong key. Returns whether it was one of few.
    pub(crate) fn are_few(&self, client: Option<IpAddr>) -> bool {
        self.of_client.retain_recent();
        self.of_client.check_key(&client).is_ok() && self.of_all.check().is_ok()
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts")
    }
}
