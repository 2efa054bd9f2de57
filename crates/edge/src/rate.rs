//! How often a token may ask.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use schemas::TokenId;

/// How often those are forgotten who have not asked for long, in requests.
const FORGET_EVERY: u64 = 10_000;

/// So many requests a minute for each token. Only tokens that are known count, so that nobody fills the memory with keys that he made up.
#[derive(Debug)]
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<TokenId>,
    clock: DefaultClock,
    asked: AtomicU64,
}

/// A token asked too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests with this token; ask again in {retry_after} s")]
pub struct TooMany {
    /// After how many seconds it may ask again.
    pub retry_after: u64,
}

impl RateLimit {
    /// So many a minute, which may come at once; those that were used come back evenly.
    #[must_use]
    pub fn per_minute(requests: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(requests)),
            clock: DefaultClock::default(),
            asked: AtomicU64::new(0),
        }
    }

    /// Counts a request of this token.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn check(&self, token: TokenId) -> Result<(), TooMany> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&token).map_err(|until| {
            let wait: Duration = until.wait_time_from(self.clock.now());
            metrics::counter!("dbt_api_rate_limited_total").increment(1);
            TooMany {
                retry_after: wait.as_secs() + 1,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_does_not_use_up_what_another_has() {
        let limit = RateLimit::per_minute(NonZeroU32::new(3).unwrap());
        let [one, other] = [1, 2].map(|id| TokenId(uuid::Uuid::from_u128(id)));
        for _ in 0..3 {
            assert_eq!(limit.check(one), Ok(()));
        }
        let refused = limit.check(one).unwrap_err();
        assert!((1..=20).contains(&refused.retry_after), "{refused}");
        assert_eq!(limit.check(other), Ok(()));
    }
}
