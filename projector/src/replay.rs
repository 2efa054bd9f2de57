//! Replays events from the journal: events that were missed, or a selection of events that were applied.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bucket::{Bucket, Hours, Journal, made_at};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::journal::unknown_of;
use schemas::{AccountId, EnvironmentId, Event, EventData, EventId};
use serde::Serialize;

use crate::batch::MAX_EVENTS;
use crate::{ApplyError, Outcome, Projector};

/// The number of batches that are applied at the same time. Memory is limited separately by size.
const AT_ONCE: usize = 3;

/// The number of ids that one statement compares with the ledger.
const BATCH: usize = 10_000;

/// The number of attempts to apply an event while something is unavailable.
const TRIES: u32 = 10;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer periods are listed at once, and shorter ones hour by hour.
const HOUR_BY_HOUR: TimeDelta = TimeDelta::days(30);

/// The maximum difference between the time in an id and the time of its event.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Selects events of the journal. An event must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only events of this account.
    pub account: Option<AccountId>,
    /// Only events of this environment.
    pub environment: Option<EnvironmentId>,
    /// Only events whose type starts with this text, such as `dbt.` or `token.issued.v1`.
    pub kind: Option<String>,
    /// Only events that were accepted at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only events that were accepted before this time.
    pub to: Option<DateTime<Utc>>,
}

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

impl Selection {
    /// Whether this event is selected.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let account = event.subject.strip_prefix("accounts/").and_then(|id| id.parse().ok());
        self.account.is_none_or(|wanted| account == Some(wanted))
            && self.kind.as_deref().is_none_or(|kind| event.kind.starts_with(kind))
            && self.from.is_none_or(|from| event.time >= from)
            && self.to.is_none_or(|to| event.time < to)
            && self
                .environment
                .is_none_or(|wanted| environment_of(event) == Some(wanted))
    }

    /// Finds the events that may be selected, judging only by their ids. Events of the directory come first, then the others, each sorted
    /// by id.
    ///
    /// # Errors
    /// Returns an error if the bucket is unavailable.
    pub async fn find(&self, bucket: &Bucket, now: DateTime<Utc>) -> Result<Vec<(Journal, EventId)>, bucket::Error> {
        let is_short = self
            .from
            .is_some_and(|from| self.to.unwrap_or(now) - from < HOUR_BY_HOUR);
        let mut found = Vec::new();
        for journal in self.journals() {
            let ids = match journal {
                Journal::Directory => bucket.list_directory_events().await?,
                Journal::Uploads if !is_short => bucket.list_upload_events().await?,
                Journal::Uploads => {
                    let (mut ids, mut hours) = (Vec::new(), self.hours_back(bucket));
                    while let Some((_, of_hour)) = hours.next().await? {
                        ids.extend(of_hour);
                    }
                    ids.sort_unstable();
                    ids
                }
            };
            let selected = ids.into_iter().filter(|id| self.may_mean(*id));
            found.extend(selected.map(|id| (*journal, id)));
        }
        Ok(found)
    }

    /// Returns the parts of the journal that may contain selected events.
    #[must_use]
    pub fn journals(&self) -> &'static [Journal] {
        let kind = self.kind.as_deref().unwrap_or_default();
        // The first word of a type determines the part, if the word is complete.
        match Journal::of_type(kind) {
            _ if !kind.contains('.') => &[Journal::Directory, Journal::Uploads],
            Journal::Directory => &[Journal::Directory],
            Journal::Uploads => &[Journal::Uploads],
        }
    }

    /// Returns the hours that may contain selected events of uploads, newest first.
    #[must_use]
    pub fn hours_back(&self, bucket: &Bucket) -> Hours {
        bucket.hours_back(self.from.map(|from| from - SKEW), self.to.map(|to| to + SKEW))
    }

    /// Whether the event with this id may be selected, judging by the time in the id.
    #[must_use]
    pub fn may_mean(&self, id: EventId) -> bool {
        made_at(id).is_none_or(|time| {
            self.from.is_none_or(|from| time >= from - SKEW) && self.to.is_none_or(|to| time <= to + SKEW)
        })
    }
}

fn environment_of(event: &Event) -> Option<EnvironmentId> {
    match event.data().ok()? {
        EventData::ArtifactsUploaded(data) => Some(data.environment_id),
        EventData::FilesStored(data) => data.environment_id,
        EventData::FileDeleted(data) => data.environment_id,
        EventData::AirflowRunObserved(data) => Some(data.environment_id),
        EventData::DbtProjectRetired(data) => Some(data.environment_id),
        EventData::EnvironmentRecorded(data) => Some(data.environment_id),
        EventData::TokenIssued(data) => data.environment_id,
        EventData::AccountRecorded(_)
        | EventData::ProjectRecorded(_)
        | EventData::ConnectionRecorded(_)
        | EventData::TokenRevoked(_)
        | EventData::RetentionPruned(_) => None,
    }
}

impl Projector {
    /// Applies the selected events that were missed, or with `again` all of them, with their files read again. `progress` receives the
    /// number of processed events and the total.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable. Events that were applied until then stay applied.
    pub async fn replay(
        &self,
        selection: &Selection,
        again: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Outcomes, ApplyError> {
        let mut events = selection.find(&self.bucket, self.clock.now()).await?;
        if !again {
            let mut unknown = Vec::new();
            for part in events.chunk_by(|one, other| one.0 == other.0) {
                for ids in part.chunks(BATCH) {
                    let (journal, ids) = (ids[0].0, ids.iter().map(|(_, id)| *id).collect());
                    unknown.extend(self.unknown(journal, ids).await?.into_iter().map(|id| (journal, id)));
                }
            }
            events = unknown;
        }
        self.apply_events(&events, selection, again, progress).await
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
    async fn unknown(&self, journal: Journal, ids: Vec<EventId>) -> Result<Vec<EventId>, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let mut unknown = unknown_of(&mut connection, &ids).await?;
        if journal == Journal::Directory {
            let applied = directory::applied(&mut connection, &ids).await?;
            unknown.retain(|id| !applied.contains(id));
        }
        Ok(unknown)
    }

    pub(crate) async fn apply_events(
        &self,
        events: &[(Journal, EventId)],
        selection: &Selection,
        again: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Outcomes, ApplyError> {
        let (total, done) = (events.len() as u64, AtomicU64::new(0));
        // Applying again locks the account exclusively, so several at once would only make each other start over.
        let at_once = if again { 1 } else { AT_ONCE };
        progress(0, total);
        let (mut outcomes, mut events) = (Outcomes::default(), events.to_vec());
        for tries in 1.. {
            // Events of one part of the journal at a time.
            let parts = events.chunk_by(|one, other| one.0 == other.0);
            let batches = parts.flat_map(|part| part.chunks(MAX_EVENTS));
            let replay = Replay {
                projector: self,
                selection,
                again,
                is_last: tries == TRIES,
            };
            let mut rest = Vec::new();
            let mut applied = stream::iter(batches)
                .map(|batch| replay.apply(batch))
                .buffer_unordered(at_once);
            while let Some(part) = applied.try_next().await? {
                let count = part.count - part.rest.len() as u64;
                progress(done.fetch_add(count, Ordering::Relaxed) + count, total);
                outcomes = outcomes.and(part.outcomes);
                rest.extend(part.rest);
            }
            if rest.is_empty() {
                break;
            }
            drop(applied);
            events = rest;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(outcomes)
    }
}

/// Applies batches of selected events.
struct Replay<'a> {
    projector: &'a Projector,
    selection: &'a Selection,
    again: bool,
    /// Whether events that something unavailable prevents are not tried again.
    is_last: bool,
}

/// What became of a batch.
struct Part {
    count: u64,
    outcomes: Outcomes,
    /// The events to try again later. Others may be applying them: several replays share the work by taking what is free.
    rest: Vec<(Journal, EventId)>,
}

impl Replay<'_> {
    /// Applies events of one part of the journal.
    async fn apply(&self, batch: &[(Journal, EventId)]) -> Result<Part, ApplyError> {
        let (count, mut outcomes, mut rest) = (batch.len() as u64, Outcomes::default(), Vec::new());
        let journal = batch.first().map_or(Journal::Uploads, |(journal, _)| *journal);
        let mut ids: Vec<EventId> = batch.iter().map(|(_, id)| *id).collect();
        if !self.again {
            // Others may have applied them in the meantime. Then nothing is read from the bucket.
            let all = ids.len();
            ids = self.projector.unknown(journal, ids).await?;
            outcomes.known += (all - ids.len()) as u64;
        }
        let mut events = Vec::new();
        for (id, read) in self.projector.read_events(journal, &ids).await {
            match read {
                Ok(event) if self.selection.matches(&event) => events.push(event),
                Ok(_) => {}
                Err(error) if error.is_unavailable() => return Err(error.into()),
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
                Ok(Outcome::Busy) => rest.push((journal, event.id)),
                Err(ApplyError::Rejected(cause)) => {
                    tracing::error!(event_id = %event.id, cause, "cannot apply the event again; its rows from before remain");
                    outcomes.rejected += 1;
                }
                Err(error) if !self.is_last => {
                    tracing::info!(event_id = %event.id, %error, "an event is tried again later");
                    rest.push((journal, event.id));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Part { count, outcomes, rest })
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
