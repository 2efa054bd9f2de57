//! Events may come in any order, so what counts is their time.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, Utc};
use schemas::{Event, EventId};

/// The value of the newest event for each key.
#[derive(Debug)]
pub(crate) struct Newest<K, V>(HashMap<K, ((DateTime<Utc>, EventId), V)>);

impl<K, V> Default for Newest<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq, V> Newest<K, V> {
    pub(crate) fn record(&mut self, key: K, event: &Event, value: V) {
        let order = (event.time, event.id);
        if self.0.get(&key).is_none_or(|(known, _)| *known <= order) {
            self.0.insert(key, (order, value));
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(|(_, value)| value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|(_, value)| value)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_values().map(|(_, value)| value)
    }
}
