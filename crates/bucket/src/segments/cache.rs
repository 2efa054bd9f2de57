//! Keeps the last segments in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Segment;

/// The most memory that the kept segments take, in bytes.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// The most segments that are kept, so that they are found quickly.
const MAX_SEGMENTS: usize = 256;

/// The segments that were used last. A segment never changes, so it may be kept for as long as there is room.
#[derive(Default)]
pub(crate) struct Cache {
    /// The one that was used last is at the end.
    segments: Mutex<VecDeque<Arc<Segment>>>,
}

impl Cache {
    /// Finds a segment by its key.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Segment>> {
        let mut segments = self.lock();
        let at = segments.iter().position(|segment| segment.key == key)?;
        let segment = segments.remove(at)?;
        segments.push_back(segment.clone());
        Some(segment)
    }

    /// The kept segments of an hour, given as in their keys.
    pub(crate) fn of_hour(&self, hour: &str) -> Vec<Arc<Segment>> {
        let segments = self.lock();
        segments
            .iter()
            .filter(|segment| segment.hour == hour)
            .cloned()
            .collect()
    }

    /// Keeps a segment as the one that was used last, or counts its memory again if it is kept.
    pub(super) fn keep(&self, segment: &Arc<Segment>) {
        let mut segments = self.lock();
        segments.retain(|kept| kept.key != segment.key);
        segments.push_back(segment.clone());
        let mut memory: usize = segments.iter().map(|segment| segment.memory()).sum();
        while memory > MAX_MEMORY || segments.len() > MAX_SEGMENTS {
            let Some(oldest) = segments.pop_front() else { break };
            // Another thread may have read the rest of it meanwhile.
            memory = memory.saturating_sub(oldest.memory());
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Segment>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("segments", &self.lock().len()).finish()
    }
}
