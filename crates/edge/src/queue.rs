//! A queue in front of limited work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits how many work at the same time, and how many wait. More are refused at once: if all waited,
/// each would time out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    work: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

/// Counts as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> (Self, usize) {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (Self(waiting), before)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// Creates a queue for work of which up to `at_once` is done at the same time, while up to `max_waiting` wait.
    #[must_use]
    pub fn new(at_once: usize, max_waiting: usize) -> Self {
        Self {
            work: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::default(),
            max_waiting,
        }
    }

    /// Waits for a turn, which ends when the permit is dropped. Returns `None` if too many wait already, or if there is none in time.
    pub async fn enter(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let (_waiting, before) = Waiting::begin(&self.waiting);
        if before >= self.max_waiting {
            return None;
        }
        let permit = tokio::time::timeout(patience, Arc::clone(&self.work).acquire_owned()).await;
        permit.ok()?.ok()
    }

    /// Waits for a turn, however long that takes and however many wait.
    pub async fn enter_patiently(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::begin(&self.waiting);
        Arc::clone(&self.work).acquire_owned().await.ok()
    }

    /// Takes a turn if one is free.
    #[must_use]
    pub fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.work).try_acquire_owned().ok()
    }

    /// How many wait for a turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}
