//! The memory that is reserved for an answer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// A reservation of memory, in MiB, that grows with the answer.
#[derive(Debug)]
pub(crate) struct Memory {
    all: Arc<Semaphore>,
    reserved: OwnedSemaphorePermit,
}

impl Memory {
    pub(crate) fn of(all: &Arc<Semaphore>, reserved: OwnedSemaphorePermit) -> Self {
        Self {
            all: Arc::clone(all),
            reserved,
        }
    }

    /// Reserves what is missing for this many bytes, if others leave it.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        let missing = mib(bytes).saturating_sub(self.reserved.num_permits());
        if missing > 0 {
            let missing = u32::try_from(missing).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.all).try_acquire_many_owned(missing);
            self.reserved.merge(more.map_err(|_| Error::Busy)?);
        }
        Ok(())
    }

    /// What a text of this many bytes takes of it. The rest is for others.
    pub(crate) fn of_text(mut self, bytes: usize) -> OwnedSemaphorePermit {
        let unused = self.reserved.num_permits().saturating_sub(mib(bytes));
        drop(self.reserved.split(unused));
        self.reserved
    }
}

/// The MiB that this many bytes take, at least one.
pub(crate) fn mib(bytes: usize) -> usize {
    (bytes >> 20) + 1
}
