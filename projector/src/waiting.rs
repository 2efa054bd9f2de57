//! What was accepted and is not shown yet.

use std::time::Duration;

use bucket::{Counted, Journal, made_at};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use read_model::dead_letters::count_dead_letters;
use read_model::journal::{swept_upto, unknown_of};
use schemas::EventId;
use serde::Serialize;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{ApplyError, Projector};

/// The pause between two counts.
const INTERVAL: Duration = Duration::from_secs(15);

/// The pause in relation to the time that a count took, since the journal may be long before the first sweep.
const PAUSE_FACTOR: u32 = 10;

/// How long PostgreSQL may take before events are counted without it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far before the last sweep to look. The sweep itself looks further back.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// How far in the future to look, since clocks may be fast.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// How often a count is kept in the bucket, for when PostgreSQL and this process are down together.
const KEPT_EVERY: TimeDelta = TimeDelta::minutes(5);

/// How long the bucket may take to keep the last count when the process ends.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Counts what waits, at startup and regularly until the shutdown.
pub(crate) async fn run(projector: &Projector, shutdown: &CancellationToken) {
    let mut counts = Counts {
        projector,
        start: projector.clock.now(),
        last: None,
        kept: None,
    };
    loop {
        let begun = Instant::now();
        if shutdown.run_until_cancelled(counts.show()).await.is_none() {
            break;
        }
        let pause = INTERVAL.max(begun.elapsed() * PAUSE_FACTOR);
        if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    timeout(LAST_PATIENCE, counts.keep()).await.ok();
}

/// The counts of this process.
struct Counts<'a> {
    projector: &'a Projector,
    start: DateTime<Utc>,
    /// The last complete count, also of another process.
    last: Option<Counted>,
    /// The time of the count that was last kept in the bucket or read from it.
    kept: Option<DateTime<Utc>>,
}

impl Counts<'_> {
    /// Sets the gauges.
    async fn show(&mut self) {
        let counted = match timeout(PATIENCE, self.projector.waiting()).await {
            Ok(Ok(waiting)) => {
                metrics::gauge!("dbt_api_dead_letters").set(waiting.dead_letters as f64);
                self.last = Some(waiting.counted());
                if self.kept.is_none_or(|kept| waiting.counted_at - kept >= KEPT_EVERY) {
                    self.keep().await;
                }
                Ok(waiting.backlog)
            }
            _ => {
                self.keep().await;
                self.count_without_postgres().await
            }
        };
        match counted {
            Ok(backlog) => {
                let oldest = backlog.oldest_waiting.unwrap_or_else(|| self.projector.clock.now());
                metrics::gauge!("dbt_api_waiting_events").set(backlog.waiting_events as f64);
                metrics::gauge!("dbt_api_oldest_waiting_event_timestamp_seconds").set(oldest.timestamp() as f64);
            }
            Err(error) => tracing::debug!(%error, "cannot count the events that wait"),
        }
    }

    /// Keeps the last count in the bucket, unless it is there.
    async fn keep(&mut self) {
        let Some(last) = self.last.as_ref().filter(|last| self.kept != Some(last.at)) else {
            return;
        };
        match self.projector.bucket.put_counted(last).await {
            Ok(()) => self.kept = Some(last.at),
            Err(error) => tracing::debug!(%error, "cannot keep the count of the events that wait"),
        }
    }

    /// Counts from the last complete count on, of this process or another; if there is none, from the start of this process on.
    async fn count_without_postgres(&mut self) -> Result<Backlog, ApplyError> {
        if self.last.is_none() {
            self.last = self.projector.bucket.counted().await?;
            self.kept = self.last.as_ref().map(|last| last.at);
        }
        let nothing = Counted {
            at: self.start,
            waiting_events: 0,
            oldest_waiting: None,
        };
        let last = self.last.as_ref().unwrap_or(&nothing);
        self.projector.accepted_since(last).await
    }
}

/// Events that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The number of accepted events that are neither applied nor dead letters.
    pub waiting_events: u64,
    /// When the oldest of them was made.
    pub oldest_waiting: Option<DateTime<Utc>>,
}

/// The state of the journal compared with that of the read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The events that wait.
    #[serde(flatten)]
    pub backlog: Backlog,
    /// The time of the count. Later events are not in it.
    pub counted_at: DateTime<Utc>,
    /// The number of dead letters that were not dropped.
    pub dead_letters: i64,
    /// The time up to which all events of the journal are applied or dead letters. `None` before the first sweep.
    pub swept_until: Option<DateTime<Utc>>,
}

/// What waits at most, while PostgreSQL cannot say what is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingAtMost {
    /// The number of events that waited at the last complete count, and of all uploads that were accepted since, applied or not.
    pub waiting_events_at_most: u64,
    /// When the oldest of them was made. No event waits for longer.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// The time of the last complete count.
    pub counted_at: DateTime<Utc>,
}

impl Waiting {
    fn counted(&self) -> Counted {
        Counted {
            at: self.counted_at,
            waiting_events: self.backlog.waiting_events,
            oldest_waiting: self.backlog.oldest_waiting,
        }
    }
}

impl Projector {
    /// Compares the journal since the last sweep with what is applied.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable.
    pub async fn waiting(&self) -> Result<Waiting, ApplyError> {
        let now = self.clock.now();
        let mut connection = self.pool.acquire().await?;
        let mut waiting = Waiting {
            backlog: Backlog::default(),
            counted_at: now,
            dead_letters: count_dead_letters(&mut connection).await?,
            swept_until: swept_upto(&mut connection).await?,
        };
        let swept = waiting.swept_until;
        let backlog = &mut waiting.backlog;
        self.each_waiting(&mut connection, swept, now, |_, ids| backlog.add(&ids))
            .await?;
        Ok(waiting)
    }

    /// Finds the events that wait, as [`Self::waiting`] counts them: those of the directory, then those of uploads, each in ascending order.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable.
    pub async fn waiting_events(&self) -> Result<[(Journal, Vec<EventId>); 2], ApplyError> {
        let now = self.clock.now();
        let mut connection = self.pool.acquire().await?;
        let swept = swept_upto(&mut connection).await?;
        let (mut of_directory, mut of_uploads) = (Vec::new(), Vec::new());
        let note = |journal, ids: Vec<EventId>| match journal {
            Journal::Directory => of_directory.extend(ids),
            Journal::Uploads => of_uploads.extend(ids),
        };
        self.each_waiting(&mut connection, swept, now, note).await?;
        of_directory.sort_unstable();
        of_uploads.sort_unstable();
        Ok([(Journal::Directory, of_directory), (Journal::Uploads, of_uploads)])
    }

    /// Passes on the events that wait, part by part. What came after `now` belongs to the next count.
    async fn each_waiting(
        &self,
        connection: &mut PgConnection,
        swept: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        mut note: impl FnMut(Journal, Vec<EventId>) + Send,
    ) -> Result<(), ApplyError> {
        let first = match swept {
            Some(swept) => swept.min(now) - MARGIN,
            None => self.bucket.first_hour().await?.unwrap_or(now),
        };
        let is_earlier = |id: &EventId| made_at(*id).is_none_or(|time| time <= now);
        let of_directory = self.bucket.list_directory_events().await?;
        let applied = directory::applied(&mut *connection, &of_directory).await?;
        let mut unknown: Vec<_> = of_directory.into_iter().filter(|id| !applied.contains(id)).collect();
        unknown.retain(is_earlier);
        note(Journal::Directory, unknown_of(&mut *connection, &unknown).await?);
        let mut hours = self.bucket.events_of_hours(first, now);
        while let Some(mut ids) = hours.try_next().await? {
            ids.retain(is_earlier);
            note(Journal::Uploads, unknown_of(&mut *connection, &ids).await?);
        }
        Ok(())
    }

    /// Says what waits at most, from the last count that a projector kept in the bucket. Returns none if there is none yet.
    ///
    /// # Errors
    /// Returns an error if the bucket is unavailable.
    pub async fn waiting_at_most(&self) -> Result<Option<WaitingAtMost>, ApplyError> {
        let Some(last) = self.bucket.counted().await? else {
            return Ok(None);
        };
        let backlog = self.accepted_since(&last).await?;
        Ok(Some(WaitingAtMost {
            waiting_events_at_most: backlog.waiting_events,
            oldest_waiting: backlog.oldest_waiting,
            counted_at: last.at,
        }))
    }

    /// Adds to a count all uploads that were accepted after it, for while PostgreSQL cannot say what is applied. Changes of the directory need
    /// PostgreSQL.
    async fn accepted_since(&self, counted: &Counted) -> Result<Backlog, ApplyError> {
        let mut backlog = Backlog {
            waiting_events: counted.waiting_events,
            oldest_waiting: counted.oldest_waiting,
        };
        let since = counted.at;
        let is_later = |id: &EventId| made_at(*id).is_some_and(|time| time > since);
        let mut hours = self.bucket.events_of_hours(since, self.clock.now().max(since) + AHEAD);
        while let Some(mut ids) = hours.try_next().await? {
            ids.retain(is_later);
            backlog.add(&ids);
        }
        Ok(backlog)
    }
}

impl Backlog {
    fn add(&mut self, events: &[EventId]) {
        self.waiting_events += events.len() as u64;
        let oldest = events.iter().filter_map(|id| made_at(*id)).min();
        self.oldest_waiting = self.oldest_waiting.into_iter().chain(oldest).min();
    }
}
