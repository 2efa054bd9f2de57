//! The memory for file contents in answers.

use std::sync::Arc;
use std::time::Duration;

use edge::CloudError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Memory for contents that are being made or sent, in MiB. Requests beyond it wait.
const MEMORY_MIB: usize = 512;

/// How long a request waits for memory before the service answers that it is busy.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Limits the memory that embedded file contents take. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ContentMemory(Arc<Semaphore>);

impl Default for ContentMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY_MIB)))
    }
}

impl ContentMemory {
    /// Reserves this much memory until the answer has been sent. A request for more than there is reserves all of it.
    pub(crate) async fn admit(&self, bytes: i64) -> Result<OwnedSemaphorePermit, CloudError> {
        let permits = mib(bytes).min(MEMORY_MIB);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let admitted = timeout(MAX_WAIT, Arc::clone(&self.0).acquire_many_owned(permits)).await;
        admitted.ok().and_then(Result::ok).ok_or_else(CloudError::busy)
    }
}

pub(crate) fn mib(bytes: i64) -> usize {
    usize::try_from(bytes >> 20).unwrap_or_default().saturating_add(1)
}
