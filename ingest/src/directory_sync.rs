//! Keeps the directory as Datacoves' own database has it.
//!
//! What changed there becomes events: in the bucket first, and then in PostgreSQL at once. If PostgreSQL fails after an event is put, the
//! projectors' next sweep applies it. While that database is away, the directory stays as it is.

use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucket::Bucket;
use chrono::TimeDelta;
use clock::Clock;
use directory::datacoves::{Change, NothingThere, Present, Source, Wanted};
use directory::{apply, begin_change, try_begin_change};
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{Event, EventId};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Directory;

/// Between two looks at that database.
const POLL_EVERY: Duration = Duration::from_secs(10);

/// Uploads to environments that nobody knows make it look at once, but not more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that an upload waits for it; its client waits 5 s for all.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The longest that reading that database may take.
const MAX_READ_TIME: Duration = Duration::from_secs(3);

/// How many events are put into the bucket at a time.
const PUT_AT_ONCE: usize = 16;

/// Accounts, projects and environments as Datacoves has them. Cheap to clone.
#[derive(Clone)]
pub struct Datacoves(Arc<Inner>);

struct Inner {
    source: Source,
    /// Of the role `dbt_api_projector`.
    pool: PgPool,
    bucket: Bucket,
    clock: Clock,
    /// When the last look began. Held for as long as one lasts.
    begun: tokio::sync::Mutex<Option<Instant>>,
    told: Mutex<Told>,
}

/// What was logged, so that nothing is logged twice.
#[derive(Default)]
struct Told {
    has_read: bool,
    failure: Option<(Discriminant<SyncError>, String)>,
    problems: Vec<String>,
}

/// What is done when another process changes the directory at the same moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Leave it to them, since most probably they do the same.
    LeaveItToThem,
    /// Wait for them: what they read may be too old.
    WaitForThem,
}

/// What a look found.
enum Found {
    /// Another process looks.
    Busy,
    /// This was recorded, and this was left out.
    Recorded { events: usize, problems: Vec<String> },
}

#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("Datacoves' database does not tell its accounts, projects and environments: {0}")]
    Source(sqlx::Error),
    #[error(
        "Datacoves' database does not tell its accounts, projects and environments within {} s",
        MAX_READ_TIME.as_secs()
    )]
    Late,
    #[error(transparent)]
    NothingThere(#[from] NothingThere),
    #[error("PostgreSQL does not record what Datacoves' database has: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the bucket does not record what Datacoves' database has: {0}")]
    Bucket(#[from] bucket::Error),
    #[error("an event cannot be written as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

impl Datacoves {
    /// The pool is of the role `dbt_api_projector`.
    #[must_use]
    pub fn new(source: Source, pool: PgPool, bucket: Bucket, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            source,
            pool,
            bucket,
            clock,
            begun: tokio::sync::Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// Whether the last look succeeded.
    ///
    /// # Errors
    /// Why it did not.
    pub fn check(&self) -> Result<(), String> {
        let told = self.told();
        match &told.failure {
            Some((_, failure)) => Err(failure.clone()),
            None if !told.has_read => Err("it was not read yet".to_owned()),
            None => Ok(()),
        }
    }

    /// Looks again and again until shutdown.
    pub(crate) async fn run(&self, directory: &Directory, shutdown: CancellationToken) {
        let poll = async {
            loop {
                if self.sync(Others::LeaveItToThem).await {
                    directory.refresh().await;
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        };
        tokio::select! {
            () = poll => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Looks at once, and waits for it for a while.
    pub(crate) async fn sync_at_once(&self) {
        let this = self.clone();
        // In a task of its own, so that what was begun comes to its end.
        let looking = tokio::spawn(async move { this.sync(Others::WaitForThem).await });
        if timeout(MAX_WAIT, looking).await.is_err() {
            tracing::warn!("an upload does not wait any longer for what Datacoves' database has");
        }
    }

    /// Makes the directory as Datacoves has it; tells whether it changed.
    async fn sync(&self, others: Others) -> bool {
        let mut begun = self.0.begun.lock().await;
        if let Some(last) = *begun {
            tokio::time::sleep_until(last + PAUSE).await;
        }
        *begun = Some(Instant::now());
        match self.try_sync(others).await {
            Ok(found) => self.succeeded(found),
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn try_sync(&self, others: Others) -> Result<Found, SyncError> {
        let Inner {
            source, pool, bucket, ..
        } = &*self.0;
        // Before the directory is locked: nobody shall wait for a database that is away.
        let mut theirs = source.connect().await.map_err(SyncError::Source)?;
        let mut change = pool.begin().await?;
        match others {
            Others::WaitForThem => begin_change(&mut change).await?,
            Others::LeaveItToThem if !try_begin_change(&mut change).await? => return Ok(Found::Busy),
            Others::LeaveItToThem => {}
        }
        let rows = timeout(MAX_READ_TIME, source.read(&mut theirs));
        let rows = rows.await.map_err(|_| SyncError::Late)?.map_err(SyncError::Source)?;
        drop(theirs);
        let mut wanted = Wanted::from_rows(rows);
        let mut problems = std::mem::take(&mut wanted.problems);
        let difference = wanted.changes(Present::load(&mut change).await?)?;
        problems.extend(difference.problems);
        let events: Vec<Event> = difference
            .changes
            .iter()
            .map(|new| self.event(new))
            .collect::<Result<_, _>>()?;
        stream::iter(events.clone())
            .map(|event| async move { bucket.put_event(&event).await })
            .buffer_unordered(PUT_AT_ONCE)
            .try_collect::<()>()
            .await?;
        for (event, new) in events.iter().zip(&difference.changes) {
            apply(&mut change, event, &new.data).await?;
        }
        change.commit().await?;
        Ok(Found::Recorded {
            events: events.len(),
            problems,
        })
    }

    /// Later than the event that it replaces, although another machine's clock may have been ahead.
    fn event(&self, change: &Change) -> Result<Event, serde_json::Error> {
        let now = self.0.clock.now();
        let time = match change.after {
            Some(after) => now.max(after + TimeDelta::microseconds(1)),
            None => now,
        };
        Event::new(EventId(self.0.clock.new_id(time)), time, &change.data)
    }

    fn succeeded(&self, found: Found) -> bool {
        let mut told = self.told();
        if told.failure.take().is_some() {
            tracing::info!("Datacoves' accounts, projects and environments are read again");
        }
        told.has_read = true;
        let Found::Recorded { events, problems } = found else {
            return false;
        };
        metrics::gauge!("dbt_api_datacoves_last_sync_timestamp_seconds").set(self.0.clock.now().timestamp() as f64);
        metrics::gauge!("dbt_api_datacoves_problems").set(problems.len() as f64);
        if events > 0 {
            tracing::info!(events, "recorded what changed in Datacoves");
        }
        for problem in problems.iter().filter(|problem| !told.problems.contains(problem)) {
            tracing::warn!(problem, "a row of Datacoves' database cannot be recorded as it is");
        }
        told.problems = problems;
        events > 0
    }

    fn failed(&self, error: &SyncError) {
        metrics::counter!("dbt_api_datacoves_failures_total").increment(1);
        let mut told = self.told();
        let kind = discriminant(error);
        if told.failure.as_ref().is_none_or(|(known, _)| *known != kind) {
            tracing::warn!(%error, "the directory stays as it is");
        }
        told.failure = Some((kind, error.to_string()));
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
