//! The memory that is reserved for an answer.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// A reservation of memory, in MiB, that grows with what is read for an answer and with its text.
#[derive(Debug)]
pub struct Memory {
    all: Arc<Semaphore>,
    /// The MiB of all reservations together.
    limit: usize,
    reserved: OwnedSemaphorePermit,
    /// The bytes that were read.
    read: usize,
}

impl Memory {
    /// Waits for this many MiB of `limit` in `all`, or for the limit if it is less.
    pub(crate) async fn reserve(all: &Arc<Semaphore>, limit: usize, mib: usize, until: Instant) -> Result<Self, Error> {
        Ok(Self {
            all: Arc::clone(all),
            limit,
            reserved: wait_for(all, mib.min(limit), until).await?,
            read: 0,
        })
    }

    /// Reserves what this many bytes take that were read, if others leave it.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.read += bytes;
        self.grow_to(self.read)
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

    /// Waits for what is missing for this many bytes, or for the limit if it is less.
    pub(crate) async fn wait_for(&mut self, bytes: usize, until: Instant) -> Result<(), Error> {
        let missing = mib(bytes).min(self.limit).saturating_sub(self.reserved.num_permits());
        if missing > 0 {
            self.reserved.merge(wait_for(&self.all, missing, until).await?);
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

/// Waits for permits.
pub(crate) async fn wait_for(
    semaphore: &Arc<Semaphore>,
    permits: usize,
    until: Instant,
) -> Result<OwnedSemaphorePermit, Error> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let acquiring = Arc::clone(semaphore).acquire_many_owned(permits);
    let admitted = tokio::time::timeout_at(until.into(), acquiring).await;
    admitted.ok().and_then(Result::ok).ok_or(Error::Busy)
}
