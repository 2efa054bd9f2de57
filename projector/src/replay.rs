//! Replays events from the journal: events that were missed, or a selection of events that were applied.

mod batches;
mod statistics;
mod tally;

use std::pin::pin;
use std::time::Duration;

use bucket::Journal;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use read_model::journal::unknown_of;
use read_model::replay::lock_batch;
use schemas::{Event, EventId};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::batch::end_turn;
use crate::selection::Found;
use crate::{ApplyError, Outcome, Projector, Selection};
use batches::{Batch, batches};
use statistics::Statistics;
use tally::Tally;

/// The number of batches that are applied at the same time. Memory is limited separately by size.
const AT_ONCE: usize = 3;

/// The number of attempts to apply an event while something is unavailable.
const TRIES: u32 = 10;

/// How many attempts are made before each warning that events are still left.
const WARNED_AFTER: u32 = 60;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The most events that are left for later. If there are more, these are tried again before others, so that memory is bounded.
const MAX_LATER: usize = 10_000;

/// The number of events for each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// The rows are now in the read model.
    pub applied: u64,
    /// The events were processed before.
    pub known: u64,
    /// The events cannot be applied and are dead letters.
    pub dead_letters: u64,
    /// The events cannot be applied again, and their rows from before remain.
    pub rejected: u64,
    /// The events cannot be read, and stay in the journal.
    pub unreadable: u64,
}

impl Projector {
    /// Applies the selected events that were missed, or with `again` all of them, with their files read again. Several projectors may do so
    /// at the same time and share the work. `progress` receives the number of processed events and the total, which is an estimate until the
    /// whole journal was listed.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable, or if it was for some of the events in several attempts. Events that
    /// were applied until then stay applied.
    pub async fn replay(
        &self,
        selection: &Selection,
        again: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Outcomes, ApplyError> {
        let found = selection.find(&self.bucket);
        self.apply_found(found, selection, again, progress).await
    }

    /// Applies an event. If another projector is applying it, waits for the result.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::apply`].
    pub async fn apply_or_wait(&self, event: &Event) -> Result<Outcome, ApplyError> {
        loop {
            match self.apply(event).await? {
                Outcome::Busy => tokio::time::sleep(PAUSE).await,
                outcome => return Ok(outcome),
            }
        }
    }

    /// Returns the events that are neither applied nor dead letters, in the same order.
    async fn unknown(&self, journal: Journal, ids: &[EventId]) -> Result<Vec<EventId>, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let mut unknown = unknown_of(&mut connection, ids).await?;
        if journal == Journal::Directory {
            let applied = directory::applied(&mut connection, ids).await?;
            unknown.retain(|id| !applied.contains(id));
        }
        Ok(unknown)
    }

    pub(crate) async fn apply_found(
        &self,
        found: BoxStream<'static, Result<Found, bucket::Error>>,
        selection: &Selection,
        again: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Outcomes, ApplyError> {
        let replay = Replay {
            projector: self,
            selection,
            again,
            tally: Tally::new(progress),
            statistics: Statistics::default(),
        };
        let mut state = State::default();
        let mut batches = pin!(batches(self, found, again, &replay.tally));
        loop {
            let is_complete = replay.apply_all(batches.as_mut(), false, MAX_LATER, &mut state).await?;
            if !is_complete {
                replay.leave_out_known(&mut state).await?;
                if state.events_later() < MAX_LATER / 2 {
                    continue;
                }
            }
            replay.try_later(&mut state).await?;
            if is_complete {
                return state.end();
            }
        }
    }
}

/// Applies batches of selected events.
struct Replay<'a> {
    projector: &'a Projector,
    selection: &'a Selection,
    again: bool,
    tally: Tally<'a>,
    statistics: Statistics,
}

/// What a replay did, and what it left for later.
#[derive(Default)]
struct State {
    outcomes: Outcomes,
    /// The events to try again later. Others may be applying them: several replays share the work by taking what is free.
    later: Vec<Batch>,
    /// The number of events that something unavailable prevented in all attempts.
    failed: usize,
    /// The error of the last of these events.
    cause: String,
}

/// The results of the events of a batch.
#[derive(Default)]
struct Part {
    outcomes: Outcomes,
    /// The number of events that are finished.
    done: usize,
    /// The events to try again later.
    later: Vec<EventId>,
    /// The events that cannot be applied at the moment.
    failed: Vec<(EventId, ApplyError)>,
}

impl State {
    fn events_later(&self) -> usize {
        self.later.iter().map(|batch| batch.ids.len()).sum()
    }

    fn end(self) -> Result<Outcomes, ApplyError> {
        match self.failed {
            0 => Ok(self.outcomes),
            failed => Err(ApplyError::Unavailable(format!(
                "events that could not be applied in {TRIES} attempts: {failed}; the log names them, and running the command again continues; the last error: {}",
                self.cause
            ))),
        }
    }
}

impl Replay<'_> {
    /// Applies batches, several at the same time, until there are no more or `max_later` events are left for later. Returns true if there are no
    /// more. An error ends the batches, but those that were begun are finished.
    async fn apply_all(
        &self,
        batches: impl Stream<Item = Result<Batch, ApplyError>> + Unpin,
        is_last: bool,
        max_later: usize,
        state: &mut State,
    ) -> Result<bool, ApplyError> {
        // Applying again locks the account exclusively, so several at once would only make each other start over.
        let at_once = if self.again { 1 } else { AT_ONCE };
        let stop = CancellationToken::new();
        let mut result = Ok(());
        let applied = batches
            .take_until(stop.cancelled())
            .map(|batch| async move {
                let mut batch: Batch = batch?;
                let mut part = self.apply(&batch).await;
                batch.ids = std::mem::take(&mut part.later);
                Ok::<_, ApplyError>((batch, part))
            })
            .buffer_unordered(at_once);
        let mut applied = pin!(applied);
        while let Some(batch) = applied.next().await {
            match batch {
                Ok((batch, part)) => self.note(batch, part, is_last, state),
                Err(error) => result = Err(error),
            }
            if result.is_err() || state.events_later() >= max_later {
                stop.cancel();
            }
        }
        result.map(|()| !stop.is_cancelled())
    }

    fn note(&self, mut batch: Batch, part: Part, is_last: bool, state: &mut State) {
        let mut done = part.done;
        for (id, error) in part.failed {
            if is_last {
                tracing::error!(event_id = %id, %error, "cannot apply an event; it is not tried again");
                state.failed += 1;
                state.cause = error.to_string();
                done += 1;
            } else {
                tracing::info!(event_id = %id, %error, "an event is tried again later");
                batch.ids.push(id);
            }
        }
        state.outcomes = state.outcomes.and(part.outcomes);
        if !batch.ids.is_empty() {
            state.later.push(batch);
        }
        self.tally.add_done(done);
    }

    /// Leaves out the events that others have applied in the meantime.
    async fn leave_out_known(&self, state: &mut State) -> Result<(), ApplyError> {
        if self.again {
            return Ok(());
        }
        for batch in &mut state.later {
            let unknown = self.projector.unknown(batch.journal, &batch.ids).await?;
            let known = batch.ids.len() - unknown.len();
            state.outcomes.known += known as u64;
            self.tally.add_done(known);
            batch.ids = unknown;
        }
        state.later.retain(|batch| !batch.ids.is_empty());
        Ok(())
    }

    /// Tries the events that were left for later until nothing is left.
    async fn try_later(&self, state: &mut State) -> Result<(), ApplyError> {
        for tries in 2.. {
            if state.later.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            if tries % WARNED_AFTER == 0 {
                let (events, first) = (state.events_later(), state.later[0].first);
                tracing::warn!(events, event_id = %first, "waiting for others that apply these events: another replay, or a projector that hangs");
            }
            let batches = stream::iter(std::mem::take(&mut state.later)).map(Ok);
            self.apply_all(batches, tries >= TRIES, usize::MAX, state).await?;
        }
        if state.failed >= MAX_LATER {
            std::mem::take(state).end()?;
        }
        Ok(())
    }

    /// Applies a batch, unless another replay is doing so. Nothing is read from the bucket then.
    async fn apply(&self, batch: &Batch) -> Part {
        let mut turn = match self.projector.pool.begin().await {
            Ok(turn) => turn,
            Err(error) => return Part::failed(&batch.ids, &error.into()),
        };
        let part = match lock_batch(&mut turn, batch.first).await {
            Ok(true) => {
                let part = self.apply_mine(batch).await;
                self.statistics.note(batch.ids.len(), &self.projector.pool).await;
                part
            }
            Ok(false) => Ok(Part {
                later: batch.ids.clone(),
                ..Part::default()
            }),
            Err(error) => Err(error.into()),
        };
        end_turn(turn).await;
        part.unwrap_or_else(|error| Part::failed(&batch.ids, &error))
    }

    async fn apply_mine(&self, batch: &Batch) -> Result<Part, ApplyError> {
        let (mut part, mut events, mut ids) = (Part::default(), Vec::new(), batch.ids.clone());
        let outcomes = &mut part.outcomes;
        if !self.again {
            // Others may have applied them in the meantime.
            ids = self.projector.unknown(batch.journal, &ids).await?;
            outcomes.known += (batch.ids.len() - ids.len()) as u64;
        }
        for (id, read) in self.projector.read_events(batch.journal, &ids).await {
            match read {
                Ok(event) if self.selection.matches(&event) => events.push(event),
                Ok(_) => {}
                Err(error) if error.is_unavailable() => part.failed.push((id, error.into())),
                Err(error) => {
                    tracing::error!(event_id = %id, %error, "cannot read an event in the journal");
                    outcomes.unreadable += 1;
                }
            }
        }
        for (event, result) in events.iter().zip(self.results(&events).await) {
            match result {
                Ok(Outcome::Applied) => outcomes.applied += 1,
                Ok(Outcome::Known) => outcomes.known += 1,
                Ok(Outcome::DeadLetter) => outcomes.dead_letters += 1,
                // The other projector finishes, or its process ends.
                Ok(Outcome::Busy) => part.later.push(event.id),
                Err(ApplyError::Rejected(cause)) => {
                    tracing::error!(event_id = %event.id, cause, "cannot apply the event again; its rows from before remain");
                    outcomes.rejected += 1;
                }
                Err(error) => part.failed.push((event.id, error)),
            }
        }
        part.done = batch.ids.len() - part.later.len() - part.failed.len();
        Ok(part)
    }

    async fn results(&self, events: &[Event]) -> Vec<Result<Outcome, ApplyError>> {
        if !self.again {
            return self.projector.apply_all(events).await;
        }
        let mut results = Vec::with_capacity(events.len());
        for event in events {
            results.push(self.projector.apply_again(event).await);
        }
        results
    }
}

impl Part {
    fn failed(ids: &[EventId], error: &ApplyError) -> Self {
        Self {
            failed: ids.iter().map(|id| (*id, error.clone())).collect(),
            ..Self::default()
        }
    }
}

impl Outcomes {
    fn and(self, other: Self) -> Self {
        Self {
            applied: self.applied + other.applied,
            known: self.known + other.known,
            dead_letters: self.dead_letters + other.dead_letters,
            rejected: self.rejected + other.rejected,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}
