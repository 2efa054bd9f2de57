//! What Datacoves said of keys.

use std::collections::HashMap;
use std::time::Duration;

use directory::Access;
use schemas::Sha256;
use tokio::time::Instant;

use super::{Purpose, Silent};

/// The most keys of each verdict that are remembered. Apart, so that made-up keys do not push out those that are in use.
const MAX_KEYS: usize = 10_000;

/// How long an admission is good for uploads while Datacoves is silent.
const GRACE: Duration = Duration::from_secs(3600);

/// The bearer of a key; none: it is refused.
pub(super) type Verdict = Option<Access>;

/// The last verdicts, by the hashes of the keys.
#[derive(Debug, Default)]
pub(super) struct Cache {
    admitted: HashMap<Sha256, (Access, Instant)>,
    refused: HashMap<Sha256, Instant>,
}

impl Cache {
    /// The last verdict, if it is no older than this.
    pub(super) fn get(&self, key: &Sha256, longest: Duration, now: Instant) -> Option<Verdict> {
        let is_young = |told_at: &Instant| now.duration_since(*told_at) < longest;
        if let Some((access, told_at)) = self.admitted.get(key) {
            return is_young(told_at).then(|| Some(access.clone()));
        }
        let told_at = self.refused.get(key)?;
        is_young(told_at).then_some(None)
    }

    /// What is known of a key while Datacoves is silent: what it said last. An admission took the place of the refusal before it and a
    /// refusal that of the admission, so that none comes back.
    pub(super) fn while_silent(&self, key: &Sha256, purpose: Purpose, now: Instant) -> Result<Verdict, Silent> {
        if self.refused.contains_key(key) {
            return Ok(None);
        }
        match (purpose, self.get(key, GRACE, now)) {
            (Purpose::Upload, Some(verdict)) => Ok(verdict),
            (Purpose::Read, _) | (_, None) => Err(Silent),
        }
    }

    /// Remembers a verdict in place of the last one of the key.
    pub(super) fn keep(&mut self, key: Sha256, verdict: Verdict, now: Instant) {
        match verdict {
            Some(access) => {
                self.refused.remove(&key);
                self.admitted.insert(key, (access, now));
                forget_oldest(&mut self.admitted, |(_, told_at)| *told_at);
            }
            None => {
                self.admitted.remove(&key);
                self.refused.insert(key, now);
                forget_oldest(&mut self.refused, |told_at| *told_at);
            }
        }
    }
}

fn forget_oldest<V>(known: &mut HashMap<Sha256, V>, told_at: impl Fn(&V) -> Instant) {
    if known.len() > MAX_KEYS
        && let Some(oldest) = known
            .iter()
            .min_by_key(|(_, value)| told_at(value))
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
    fn a_refusal_takes_the_place_of_an_admission_and_made_up_keys_push_out_none() {
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
        assert_eq!(silent(&cache, Purpose::Upload, GRACE - second), Ok(Some(access)));
        assert_eq!(silent(&cache, Purpose::Upload, GRACE), Err(Silent));
        assert_eq!(silent(&cache, Purpose::Read, second), Err(Silent));
        cache.keep(used, None, begin + second);
        assert_eq!(cache.get(&used, second, begin + second), Some(None));
        assert_eq!(silent(&cache, Purpose::Upload, GRACE * 2), Ok(None));
    }
}
