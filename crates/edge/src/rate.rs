//! Limits how many requests a token may make.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use schemas::TokenId;

/// After how many requests inactive tokens are forgotten.
const FORGET_EVERY: u64 = 10_000;

/// Limits the requests per minute of each token. Only valid tokens are counted, so that nobody can fill the memory with made-up keys.
#[derive(Debug)]
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<TokenId>,
    clock: DefaultClock,
    asked: AtomicU64,
}

/// A token made too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests with this token; try again in {retry_after} s")]
pub struct TooMany {
    /// When the token may make another request, in seconds.
    pub retry_after: u64,
}

impl RateLimit {
    /// Allows this many requests per minute. They may come all at once; the allowance then refills evenly.
    #[must_use]
    pub fn per_minute(requests: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(requests)),
            clock: DefaultClock::default(),
            asked: AtomicU64::new(0),
        }
    }

    /// Counts a request with this token.
    ///
    /// # Errors
    /// If the token has exceeded its limit.
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
    fn each_token_has_its_own_limit() {
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
