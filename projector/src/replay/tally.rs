//! Counts what a replay has found and done.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::selection::Found;

/// How far a replay is, and who is informed about it.
pub(super) struct Tally<'a> {
    progress: &'a (dyn Fn(u64, u64) + Sync),
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    done: u64,
    /// The events to apply that were found so far.
    found: u64,
    /// The events that were listed hour by hour so far, with those that need not be applied.
    listed: u64,
    hours_listed: u64,
    hours: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(progress: &'a (dyn Fn(u64, u64) + Sync)) -> Self {
        let counts = Mutex::default();
        Self { progress, counts }
    }

    /// Notes what was listed.
    pub(super) fn add_listed(&self, found: &Found) {
        let mut counts = self.counts();
        if found.hours > 0 {
            counts.listed += found.ids.len() as u64;
            (counts.hours_listed, counts.hours) = (found.hours_listed, found.hours);
        }
    }

    /// Notes that everything is listed. The last hours may have had no events.
    pub(super) fn end_list(&self) {
        let mut counts = self.counts();
        counts.hours_listed = counts.hours;
    }

    /// Notes how many of the listed events are to be applied.
    pub(super) fn add_found(&self, events: usize) {
        self.counts().found += events as u64;
        self.show();
    }

    /// Notes events that are finished.
    pub(super) fn add_done(&self, events: usize) {
        self.counts().done += events as u64;
        self.show();
    }

    fn show(&self) {
        let (done, total) = {
            let counts = self.counts();
            (counts.done, counts.total())
        };
        (self.progress)(done, total);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The events that were found, and as many for each of the other hours as the listed ones have on average.
    fn total(&self) -> u64 {
        let others = u128::from(self.listed) * u128::from(self.hours - self.hours_listed);
        let others = others / u128::from(self.hours_listed.max(1));
        self.found + u64::try_from(others).unwrap_or(u64::MAX - self.found)
    }
}
