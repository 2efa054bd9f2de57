//! Events out of the journal once more: those that were missed, or a selection of those that were applied.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bucket::{Bucket, Hours, Journal, made_at};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::unknown_of;
use schemas::{AccountId, EnvironmentId, Event, EventData, EventId};
use serde::Serialize;

use crate::{ApplyError, Outcome, Projector};

/// How many events are worked upon at once. What bounds the work is memory, which is admitted by bytes.
const AT_ONCE: usize = 4;

/// How many ids are compared with the ledger in one statement.
const BATCH: usize = 10_000;

/// How often an event is tried while something that it needs is away.
const TRIES: u32 = 10;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// A longer time than this is listed at once, a shorter one hour by hour.
const HOUR_BY_HOUR: TimeDelta = TimeDelta::days(30);

/// Ids may be so much older or younger than the time of their event.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Which events of the journal are meant. All that is told must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of this environment.
    pub environment: Option<EnvironmentId>,
    /// Whose type begins with this text, such as `dbt.` or `token.issued.v1`.
    pub kind: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Accepted before this time.
    pub to: Option<DateTime<Utc>>,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Their rows are in the read model now.
    pub applied: u64,
    /// They had been dealt with before.
    pub known: u64,
    /// They cannot be applied and are dead letters.
    pub dead_letters: u64,
    /// They cannot be applied again, and stay as they were applied before.
    pub rejected: u64,
    /// They cannot be read, and stay in the journal.
    pub unreadable: u64,
}

impl Selection {
    /// Is this event meant?
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

    /// The events that may be meant, by their ids alone: the directory's, then the others, each in the order of their ids.
    ///
    /// # Errors
    /// When the bucket is away.
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
            let meant = ids.into_iter().filter(|id| self.may_mean(*id));
            found.extend(meant.map(|id| (*journal, id)));
        }
        Ok(found)
    }

    /// The parts of the journal that may hold such events.
    #[must_use]
    pub fn journals(&self) -> &'static [Journal] {
        let kind = self.kind.as_deref().unwrap_or_default();
        // A type's first word tells the part, once it is whole.
        match Journal::of_type(kind) {
            _ if !kind.contains('.') => &[Journal::Directory, Journal::Uploads],
            Journal::Directory => &[Journal::Directory],
            Journal::Uploads => &[Journal::Uploads],
        }
    }

    /// The hours that may hold such events of uploads, the newest first.
    #[must_use]
    pub fn hours_back(&self, bucket: &Bucket) -> Hours {
        bucket.hours_back(self.from.map(|from| from - SKEW), self.to.map(|to| to + SKEW))
    }

    /// May the event with this id be meant, from when the id was made?
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
        _ => None,
    }
}

impl Projector {
    /// Applies those of the selected events that were missed; or all of them, with their files read anew. `progress` is told how many of
    /// how many were looked at.
    ///
    /// # Errors
    /// When the database or the bucket is away. What was applied until then stays applied.
    pub async fn replay(
        &self,
        selection: &Selection,
        again: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Outcomes, ApplyError> {
        let mut events = selection.find(&self.bucket, self.clock.now()).await?;
        if !again {
            events = self.unknown(events).await?;
        }
        self.apply_events(&events, selection, again, progress).await
    }

    /// Applies an event. While another is at it, waits for what becomes of that.
    ///
    /// # Errors
    /// As [`Projector::apply`].
    pub async fn apply_or_wait(&self, event: &Event) -> Result<Outcome, ApplyError> {
        loop {
            match self.apply(event).await? {
                Outcome::Busy => tokio::time::sleep(PAUSE).await,
                outcome => return Ok(outcome),
            }
        }
    }

    async fn unknown(&self, events: Vec<(Journal, EventId)>) -> Result<Vec<(Journal, EventId)>, ApplyError> {
        let mut unknown = Vec::new();
        let mut connection = self.pool.acquire().await?;
        for events in events.chunks(BATCH) {
            let ids: Vec<EventId> = events.iter().map(|(_, id)| *id).collect();
            let of_directory = directory::applied(&mut connection, &ids).await?;
            let rest: std::collections::HashSet<EventId> =
                unknown_of(&mut connection, &ids).await?.into_iter().collect();
            unknown.extend(
                events
                    .iter()
                    .filter(|(_, id)| rest.contains(id) && !of_directory.contains(id)),
            );
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
        // What is applied again has its account to itself: several at once would only make each other begin anew.
        let at_once = if again { 1 } else { AT_ONCE };
        progress(0, total);
        stream::iter(events.iter().copied())
            .map(|(journal, id)| self.apply_selected(journal, id, selection, again))
            .buffer_unordered(at_once)
            .inspect(|_| progress(done.fetch_add(1, Ordering::Relaxed) + 1, total))
            .try_fold(Outcomes::default(), async |sum, one| Ok(sum.and(one)))
            .await
    }

    async fn apply_selected(
        &self,
        journal: Journal,
        id: EventId,
        selection: &Selection,
        again: bool,
    ) -> Result<Outcomes, ApplyError> {
        let one = Outcomes::default();
        let event = match self.bucket.get_event(journal, id).await {
            Ok(event) => event,
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) => {
                tracing::error!(event_id = %id, %error, "the journal has an event that cannot be read");
                return Ok(Outcomes { unreadable: 1, ..one });
            }
        };
        if !selection.matches(&event) {
            return Ok(one);
        }
        let mut tries = 1;
        loop {
            let result = if again {
                self.apply_again(&event).await
            } else {
                self.apply(&event).await
            };
            match result {
                Ok(Outcome::Applied) => return Ok(Outcomes { applied: 1, ..one }),
                Ok(Outcome::Known) => return Ok(Outcomes { known: 1, ..one }),
                Ok(Outcome::Buried) => return Ok(Outcomes { dead_letters: 1, ..one }),
                // The other comes to an end, or its process does.
                Ok(Outcome::Busy) => {}
                Err(ApplyError::Rejected(cause)) => {
                    tracing::error!(event_id = %id, cause, "the event cannot be applied again; it stays as it was applied before");
                    return Ok(Outcomes { rejected: 1, ..one });
                }
                Err(error) if tries < TRIES => {
                    tracing::info!(event_id = %id, %error, "an event is tried again");
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
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
