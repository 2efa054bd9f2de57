//! Applies events in batches. An event that cannot be applied is split out and becomes a dead letter alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use read_model::journal::{
    Admission, Known, begin_attempt, begin_attempts, end_attempts, forget_attempts, insert_dead_letter, lock_events,
};
use schemas::{Event, EventId};
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Transaction};
use tracing::Instrument;

use crate::content::{FileWaits, Reading};
use crate::lock_waits::LockWaits;
use crate::outcome::Outcome;
use crate::project::{Applied, Locks, Projected};
use crate::split::{shared_locks, split_at, split_by_locks};
use crate::{ApplyError, Projector, project};

/// The maximum number of events that one transaction applies. It limits how long others wait for the batch's locks.
pub(crate) const MAX_EVENTS: usize = 256;

/// How often in a row PostgreSQL may refuse parts of a batch before that counts as an outage, such as a full disk. An event that is refused
/// alone is found in fewer tries.
const MAX_REFUSALS: usize = 16;

/// How many statements of a batch may time out before any event is applied, until that counts as an outage.
const MAX_TIMEOUTS: usize = 10;

/// How many events of a batch are applied alone, one after the other, because reading their files takes long.
const MAX_LATE: usize = 4;

/// The result of each event.
type Results = HashMap<EventId, Result<Outcome, ApplyError>>;

impl Projector {
    /// Applies an event permanently. Afterwards it is in the ledger or a dead letter, unless another projector is applying it.
    ///
    /// # Errors
    /// Returns an error if the event should be tried again later, and nothing was changed. It is never [`ApplyError::Rejected`].
    pub async fn apply(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let mut results = self.results_of(std::slice::from_ref(event)).await;
        results.remove(&event.id).unwrap_or(Ok(Outcome::Busy))
    }

    /// Applies events permanently, many in one transaction where their order does not matter. Returns the result of each event in the same
    /// order, as [`Projector::apply`] does.
    pub async fn apply_all(&self, events: &[Event]) -> Vec<Result<Outcome, ApplyError>> {
        let results = self.results_of(events).await;
        let result_of = |event: &Event| results.get(&event.id).cloned().unwrap_or(Ok(Outcome::Busy));
        events.iter().map(result_of).collect()
    }

    async fn results_of(&self, events: &[Event]) -> Results {
        let (mut results, mut batch, mut seen) = (Results::new(), Vec::new(), HashSet::new());
        for event in events.iter().filter(|event| seen.insert(event.id)) {
            if !project::is_independent(event) {
                self.apply_batch(std::mem::take(&mut batch), &mut results).await;
                self.apply_batch(vec![event.clone()], &mut results).await;
                continue;
            }
            batch.push(event.clone());
            if batch.len() == MAX_EVENTS {
                self.apply_batch(std::mem::take(&mut batch), &mut results).await;
            }
        }
        self.apply_batch(batch, &mut results).await;
        results
    }

    async fn apply_batch(&self, events: Vec<Event>, results: &mut Results) {
        if events.is_empty() {
            return;
        }
        let ids = ids_of(&events);
        match self.take_turns(&ids).await {
            Ok((turn, mine)) => {
                let (mine, busy): (Vec<Event>, Vec<Event>) =
                    events.into_iter().partition(|event| mine.contains(&event.id));
                results.extend(busy.iter().map(|event| (event.id, Ok(Outcome::Busy))));
                if let Err(error) = self.attempt(mine, results).await {
                    fill(results, &ids, &error);
                }
                end_turn(turn).await;
            }
            Err(error) => fill(results, &ids, &error),
        }
    }

    /// Prevents others from starting attempts to apply these events, which would be counted. Returns the events whose turn it is; other
    /// projectors are applying the rest.
    ///
    /// A transaction holds the locks, since it always ends when the attempts do. Beside its connection, a batch uses one to read and write, and
    /// a third for a moment to record a dead letter. Few batches are applied at once, so the pool has enough connections.
    async fn take_turns(
        &self,
        events: &[EventId],
    ) -> Result<(Transaction<'static, Postgres>, HashSet<EventId>), ApplyError> {
        let mut turn = self.pool.begin().await?;
        let mine = lock_events(&mut turn, events).await?;
        Ok((turn, mine))
    }

    /// Applies events together, except for those that may have killed a projector before.
    async fn attempt(&self, events: Vec<Event>, results: &mut Results) -> Result<(), ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let known = begin_attempts(&mut connection, &ids_of(&events)).await?;
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for event in events {
            match known.get(&event.id) {
                Some(Known::Done) => {
                    results.insert(event.id, Ok(Outcome::Known));
                }
                Some(Known::Begun) => alone.push(event),
                Some(Known::Nothing) | None => together.push(event),
            }
        }
        let begun = ids_of(&together);
        self.work(connection, together, FileWaits::Unlimited, results).await;
        self.forget_attempts(&begun, results).await;
        // Where several are applied one after the other, a silent bucket must not make each wait long.
        let files = match alone.len() {
            1 => FileWaits::Unlimited,
            _ => FileWaits::Short,
        };
        for event in alone {
            let result = self.attempt_alone(&event, files, results).await;
            if let Err(error) = result {
                fill(results, &[event.id], &error);
            }
        }
        Ok(())
    }

    /// Applies an event that was begun before without an end. It must not take others with it if it kills the projector.
    async fn attempt_alone(&self, event: &Event, files: FileWaits, results: &mut Results) -> Result<(), ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let admission = begin_attempt(&mut connection, event.id).await?;
        match admission {
            Admission::Done => {
                results.insert(event.id, Ok(Outcome::Known));
            }
            Admission::Exhausted => {
                drop(connection);
                let cause = "several attempts began and none finished: the event may kill its projector, or take longer than the statement timeout";
                results.insert(event.id, self.record_dead_letter(event, cause).await);
            }
            Admission::Admitted => {
                self.work(connection, vec![event.clone()], files, results).await;
                self.forget_attempts(&[event.id], results).await;
            }
        }
        Ok(())
    }

    /// Does not count the attempts that ended because something was unavailable.
    async fn forget_attempts(&self, events: &[EventId], results: &Results) {
        let is_unavailable = |event: &&EventId| matches!(results.get(event), Some(Err(ApplyError::Unavailable(_))));
        let events: Vec<EventId> = events.iter().filter(is_unavailable).copied().collect();
        if events.is_empty() {
            return;
        }
        // If this fails as well, the starts count. That is acceptable, since the outage is noticed again before the fifth start.
        if let Err(error) = forget_attempts(&self.pool, &events).await {
            tracing::debug!(events = events.len(), %error, "cannot forget attempts");
        }
    }

    /// Applies events in as few transactions as possible. At last, the files of an event are waited for as `patience` says.
    async fn work(
        &self,
        connection: PoolConnection<Postgres>,
        events: Vec<Event>,
        patience: FileWaits,
        results: &mut Results,
    ) {
        let mut connection = Some(connection);
        let mut rest = VecDeque::from([events]);
        // The events whose files are waited for at last, and the number of these.
        let mut late: VecDeque<Vec<Event>> = VecDeque::new();
        let mut waited = 0;
        // The events whose locks others hold, by what they need. They come last.
        let mut locked: BTreeMap<Locks, Vec<Event>> = BTreeMap::new();
        let (mut refusals, mut timeouts, mut is_any_applied) = (0, 0, false);
        loop {
            let is_late = rest.is_empty() && !late.is_empty();
            let next = rest.pop_front().or_else(|| late.pop_front());
            let next =
                next.or_else(|| if locked.len() == 1 { locked.pop_first() } else { None }.map(|(_, batch)| batch));
            let Some(mut batch) = next else { break };
            if batch.is_empty() {
                continue;
            }
            let locks = shared_locks(&batch);
            let nothing_waits = rest.is_empty() && late.is_empty() && locked.is_empty();
            let waits = match locks.is_some() && nothing_waits {
                true => LockWaits::Unlimited,
                false => LockWaits::Limited,
            };
            let files = match is_late || nothing_waits {
                true => patience,
                false => FileWaits::Short,
            };
            let mut projected = self.project_in_task(&mut connection, &batch, waits, files).await;
            match &projected {
                Err(ApplyError::Refused(cause)) => {
                    refusals += 1;
                    if refusals == MAX_REFUSALS {
                        projected = Err(ApplyError::Unavailable(cause.clone()));
                    }
                }
                // PostgreSQL is slow with all events: none of them is at fault.
                Err(ApplyError::TimedOut(cause)) => {
                    timeouts += 1;
                    if timeouts == MAX_TIMEOUTS && !is_any_applied {
                        projected = Err(ApplyError::Unavailable(cause.clone()));
                    }
                }
                _ => {}
            }
            match projected {
                Ok(Projected::Done { applied, late: slow }) => {
                    (refusals, is_any_applied) = (0, true);
                    for event in batch.iter().filter(|event| slow.contains(&event.id)) {
                        let is_last_wait = batch.len() == 1 && files == patience;
                        if is_last_wait || waited == MAX_LATE {
                            let cause = "the bucket is slow to answer for the files of the event".to_owned();
                            fill(results, &[event.id], &ApplyError::Unavailable(cause));
                        } else {
                            waited += 1;
                            late.push_back(vec![event.clone()]);
                        }
                    }
                    self.conclude(&batch, applied, results).await;
                }
                Ok(Projected::TooLarge { parts }) => {
                    for part in split_at(batch, &parts).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                // Nothing more can be applied until it is available again.
                Err(error @ ApplyError::Unavailable(_)) => {
                    let left = [batch].into_iter().chain(rest).chain(late).chain(locked.into_values());
                    left.for_each(|batch| fill(results, &ids_of(&batch), &error));
                    return;
                }
                Err(ApplyError::Locked(cause)) if waits == LockWaits::Unlimited => {
                    fill(results, &ids_of(&batch), &ApplyError::Unavailable(cause));
                }
                Err(ApplyError::Locked(_)) => match locks {
                    Some(locks) => locked.entry(locks).or_default().append(&mut batch),
                    None => rest.extend(split_by_locks(batch)),
                },
                // One of the events is at fault: the halves show in which half it is. They come after all others, which must not wait while
                // the event is looked for.
                Err(_) if batch.len() > 1 => {
                    let other = batch.split_off(batch.len() / 2);
                    rest.extend([batch, other]);
                }
                Err(ApplyError::Refused(_)) if !rest.is_empty() => rest.push_back(batch),
                Err(ApplyError::Refused(cause)) => fill(results, &ids_of(&batch), &ApplyError::Unavailable(cause)),
                Err(error @ ApplyError::TimedOut(_)) => fill(results, &ids_of(&batch), &error),
                Err(error @ ApplyError::Rejected(_)) => {
                    let applied = batch.iter().map(|event| (event.id, Err(error.clone()))).collect();
                    self.conclude(&batch, applied, results).await;
                }
            }
        }
        // In the stream, they do not keep each other waiting.
        let error = ApplyError::Unavailable("other transactions hold the locks that the event needs".to_owned());
        for batch in locked.values() {
            fill(results, &ids_of(batch), &error);
        }
    }

    /// Applies events in a task of its own, so that a panic affects only them and the connection.
    async fn project_in_task(
        &self,
        connection: &mut Option<PoolConnection<Postgres>>,
        events: &[Event],
        waits: LockWaits,
        files: FileWaits,
    ) -> Result<Projected, ApplyError> {
        let mut used = match connection.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let task = tokio::spawn({
            let (projector, events) = (self.clone(), events.to_vec());
            async move {
                let projected = projector.project(&mut used, &events, Reading::WhatIsNew, waits, files);
                (projected.await, used)
            }
            .in_current_span()
        });
        match task.await {
            Ok((result, used)) => {
                // After an error, the connection may be broken, or still hold locks: the pool mends or closes it.
                *connection = result.is_ok().then_some(used);
                result
            }
            Err(panic) => Err(ApplyError::Rejected(format!("the projector panicked: {panic}"))),
        }
    }

    /// Makes rejected events dead letters.
    async fn conclude(&self, batch: &[Event], applied: Applied, results: &mut Results) {
        for (id, result) in applied {
            let result = match (result, batch.iter().find(|event| event.id == id)) {
                (Err(ApplyError::Rejected(cause)), Some(event)) => self.record_dead_letter(event, &cause).await,
                (result, _) => result,
            };
            results.insert(id, result);
        }
    }

    /// Applies a dead letter again. It remains a dead letter until its rows are in the read model.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::apply`].
    pub async fn retry(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let (turn, mine) = self.take_turns(&[event.id]).await?;
        if mine.is_empty() {
            return Ok(Outcome::Busy);
        }
        let mut results = Results::new();
        let connection = self.pool.acquire().await?;
        self.work(connection, vec![event.clone()], FileWaits::Unlimited, &mut results)
            .await;
        let mut result = results.remove(&event.id).unwrap_or(Ok(Outcome::Busy));
        if let Ok(Outcome::Known) = result {
            // The event was applied in another way and is not a dead letter any more.
            let mut connection = self.pool.acquire().await?;
            result = match end_attempts(&mut connection, &[event.id]).await {
                Ok(()) => Ok(Outcome::Known),
                Err(error) => Err(error.into()),
            };
        }
        end_turn(turn).await;
        result
    }

    /// Applies an upload again in one transaction, and reads its files again. Other events are applied only if they were not applied
    /// before.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::apply`], and [`ApplyError::Rejected`] if the event can no longer be applied. In
    /// that case, the rows from before remain.
    pub async fn apply_again(&self, event: &Event) -> Result<Outcome, ApplyError> {
        if !project::has_files(event) {
            return self.apply(event).await;
        }
        let (turn, mine) = self.take_turns(&[event.id]).await?;
        if mine.is_empty() {
            return Ok(Outcome::Busy);
        }
        let events = std::slice::from_ref(event);
        let mut connection = self.pool.acquire().await?;
        let (reading, waits, files) = (Reading::Everything, LockWaits::Unlimited, FileWaits::Unlimited);
        let projected = self.project(&mut connection, events, reading, waits, files);
        let result = match projected.await {
            Ok(Projected::Done { mut applied, .. }) => applied.pop().map_or(Ok(Outcome::Known), |(_, result)| result),
            Ok(Projected::TooLarge { .. }) => Ok(Outcome::Busy),
            Err(ApplyError::Refused(cause) | ApplyError::Locked(cause)) => Err(ApplyError::Unavailable(cause)),
            Err(error) => Err(error),
        };
        let result = match result {
            Err(ApplyError::Rejected(cause)) => match self.record_dead_letter(event, &cause).await {
                Ok(Outcome::Known) => Err(ApplyError::Rejected(cause)),
                recorded => recorded,
            },
            result => result,
        };
        end_turn(turn).await;
        result
    }

    /// Makes an event a dead letter, unless it was applied.
    async fn record_dead_letter(&self, event: &Event, cause: &str) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        let is_new = insert_dead_letter(&mut transaction, event, cause).await?;
        transaction.commit().await?;
        if !is_new {
            return Ok(Outcome::Known);
        }
        metrics::counter!("dbt_api_dead_letters_total").increment(1);
        tracing::error!(event_id = %event.id, kind = event.kind, cause, "the event became a dead letter");
        Ok(Outcome::DeadLetter)
    }
}

fn ids_of(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// Sets the result of those of these events that have none.
fn fill(results: &mut Results, events: &[EventId], error: &ApplyError) {
    for event in events {
        results.entry(*event).or_insert_with(|| Err(error.clone()));
    }
}

pub(crate) async fn end_turn(turn: Transaction<'static, Postgres>) {
    if let Err(error) = turn.rollback().await {
        // The locks end with their connection anyway.
        tracing::debug!(%error, "cannot release the locks of events");
    }
}
