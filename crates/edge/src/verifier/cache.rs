//! Caches Datacoves' answers.

use std::collections::HashMap;
use std::time::Duration;

use directory::Access;
use schemas::Sha256;
use tokio::time::Instant;

use super::Purpose;

/// How many accepted keys and how many refused keys are remembered. They are counted separately, so that made-up keys do not push out keys
/// that are in use.
const MAX_KEYS: usize = 10_000;

/// How long an accepted key may still upload while Datacoves does not answer.
const GRACE: Duration = Duration::from_secs(3600);

/// What a key gives access to, or `None` if it is refused.
pub(super) type Verdict = Option<Access>;

/// The last verdicts by the hash of the key, with the times of the answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    admitted: HashMap<Sha256, (Access, Instant)>,
    refused: HashMap<Sha256, Instant>,
}

impl Cache {
    /// Returns the last verdict, if it is younger than `max_age`.
    pub(super) fn get(&self, key: &Sha256, max_age: Duration, now: Instant) -> Option<Verdict> {
        let is_young = |answered_at: &Instant| now.duration_since(*answered_at) < max_age;
        if let Some((access, answered_at)) = self.admitted.get(key) {
            return is_young(answered_at).then(|| Some(access.clone()));
        }
        let answered_at = self.refused.get(key)?;
        is_young(answered_at).then_some(None)
    }

    /// Returns the verdict to use while Datacoves does not answer: its last one. Each verdict replaces the one before, so an older one never
    /// comes back. `None` if there is none that may be used.
    pub(super) fn while_silent(&self, key: &Sha256, purpose: Purpose, now: Instant) -> Option<Verdict> {
        if self.refused.contains_key(key) {
            return Some(None);
        }
        match purpose {
            Purpose::Upload => self.get(key, GRACE, now),
            Purpose::Read => None,
        }
    }

    /// Remembers a verdict, and forgets the key's earlier one.
    pub(super) fn keep(&mut self, key: Sha256, verdict: Verdict, now: Instant) {
        match verdict {
            Some(access) => {
                self.refused.remove(&key);
                self.admitted.insert(key, (access, now));
                forget_oldest(&mut self.admitted, |(_, answered_at)| *answered_at);
            }
            None => {
                self.admitted.remove(&key);
                self.refused.insert(key, now);
                forget_oldest(&mut self.refused, |answered_at| *answered_at);
            }
        }
    }
}

fn forget_oldest<V>(known: &mut HashMap<Sha256, V>, answered_at: impl Fn(&V) -> Instant) {
    if known.len() > MAX_KEYS
        && let Some(oldest) = known
            .iter()
            .min_by_key(|(_, value)| answered_at(value))
            .map(|(key, _)| *key)
    {
        known.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use directory::Environments;
    use schemas::{AccountId, TokenId};

    use super::*;

    #[test]
    fn a_refusal_replaces_an_admission_and_made_up_keys_do_not_push_out_used_ones() {
        let access = Access {
            token_id: TokenId(uuid::Uuid::nil()),
            accounts: vec![AccountId(1)],
            environments: Environments::All,
            scopes: Vec::new(),
        };
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let [used, other] = ["used", "other"].map(|key| Sha256::of(key.as_bytes()));
        let mut cache = Cache::default();
        cache.keep(used, Some(access.clone()), begin);
        assert_eq!(cache.get(&used, second, begin), Some(Some(access.clone())));
        assert_eq!(cache.get(&used, second, begin + second), None);
        assert_eq!(cache.get(&other, second, begin), None);
        for number in 0..=MAX_KEYS {
            cache.keep(Sha256::of(&number.to_le_bytes()), None, begin + second);
        }
        assert_eq!(cache.refused.len(), MAX_KEYS);
        assert_eq!(cache.get(&used, second, begin), Some(Some(access.clone())));
        let silent = |cache: &Cache, purpose, later| cache.while_silent(&used, purpose, begin + later);
        assert_eq!(silent(&cache, Purpose::Upload, GRACE - second), Some(Some(access)));
        assert_eq!(silent(&cache, Purpose::Upload, GRACE), None);
        assert_eq!(silent(&cache, Purpose::Read, second), None);
        cache.keep(used, None, begin + second);
        assert_eq!(cache.get(&used, second, begin + second), Some(None));
        assert_eq!(silent(&cache, Purpose::Upload, GRACE * 2), Some(None));
    }
}
