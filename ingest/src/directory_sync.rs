//! Keeps the directory in sync with Datacoves' own database.
//!
//! Each change there becomes an event, which is stored in the bucket and then applied to PostgreSQL at once. If PostgreSQL fails after an event
//! was stored, the projectors' next sweep applies it. While Datacoves' database is unavailable, the directory stays as it is.

use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucket::Bucket;
use chrono::TimeDelta;
use clock::Clock;
use directory::datacoves::{Change, NothingThere, Present, ReadError, Source, Wanted};
use directory::queries::{DATACOVES, note_observed};
use directory::{apply, begin_change, try_begin_change};
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{Event, EventId};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Directory;

/// How often Datacoves' database is polled.
const POLL_EVERY: Duration = Duration::from_secs(10);

/// The minimum time between two syncs. An upload to an unknown environment starts one at once.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an upload waits for a sync. Its client waits 5 s in total.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How long reading Datacoves' database may take.
const MAX_READ_TIME: Duration = Duration::from_secs(3);

/// How many events are put into the bucket concurrently.
const PUT_AT_ONCE: usize = 16;

/// Syncs accounts, projects and environments from Datacoves' database. Cheap to clone.
#[derive(Clone)]
pub struct Datacoves(Arc<Inner>);

struct Inner {
    source: Source,
    /// Connects with the role `dbt_api_projector`.
    pool: PgPool,
    bucket: Bucket,
    clock: Clock,
    /// When the last sync began. Locked while a sync runs.
    begun: tokio::sync::Mutex<Option<Instant>>,
    logged: Mutex<Logged>,
}

/// What was already logged, so that nothing is logged twice.
#[derive(Default)]
struct Logged {
    has_read: bool,
    failure: Option<(Discriminant<SyncError>, String)>,
    problems: Vec<String>,
}

/// What to do while another process changes the directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Skip this sync: the other process most likely does the same work.
    LeaveItToThem,
    /// Wait and then sync: the other process may have read older rows.
    WaitForThem,
}

/// The result of a sync.
enum Found {
    /// Another process is syncing.
    Busy,
    /// The number of events that were recorded, and the rows that could not be.
    Recorded { events: usize, problems: Vec<String> },
}

#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("cannot read accounts, projects and environments from Datacoves' database: {0}")]
    Source(ReadError),
    #[error(
        "reading accounts, projects and environments from Datacoves' database took longer than {} s",
        MAX_READ_TIME.as_secs()
    )]
    Late,
    #[error(transparent)]
    NothingThere(#[from] NothingThere),
    #[error("cannot record Datacoves' changes in PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("cannot record Datacoves' changes in the bucket: {0}")]
    Bucket(#[from] bucket::Error),
    #[error("cannot write an event as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

impl Datacoves {
    /// Creates a sync from `source`. The pool must connect with the role `dbt_api_projector`.
    #[must_use]
    pub fn new(source: Source, pool: PgPool, bucket: Bucket, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            source,
            pool,
            bucket,
            clock,
            begun: tokio::sync::Mutex::default(),
            logged: Mutex::default(),
        }))
    }

    /// Checks that the last sync succeeded.
    ///
    /// # Errors
    /// The reason why it failed, or that there was none yet.
    pub fn check(&self) -> Result<(), String> {
        let logged = self.logged();
        match &logged.failure {
            Some((_, failure)) => Err(failure.clone()),
            None if !logged.has_read => Err("not read yet".to_owned()),
            None => Ok(()),
        }
    }

    /// Syncs periodically until shutdown.
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

    /// Syncs at once, and waits up to [`MAX_WAIT`] for it.
    pub(crate) async fn sync_at_once(&self) {
        let this = self.clone();
        // In a separate task, so that a sync that has begun always completes.
        let syncing = tokio::spawn(async move { this.sync(Others::WaitForThem).await });
        if timeout(MAX_WAIT, syncing).await.is_err() {
            tracing::warn!("an upload stopped waiting for Datacoves' database");
        }
    }

    /// Syncs the directory with Datacoves, and returns whether it changed.
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
        // Connect before locking the directory, so that nobody waits for a database that is down.
        let mut theirs = source
            .connect()
            .await
            .map_err(|error| SyncError::Source(error.into()))?;
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
        // It is only information for operators, and the database may be read-only.
        if let Err(error) = note_observed(pool, DATACOVES).await {
            tracing::debug!(%error, "cannot record that Datacoves' database was read");
        }
        Ok(Found::Recorded {
            events: events.len(),
            problems,
        })
    }

    /// Makes an event for a change. Its time is later than that of the event it replaces, even if another machine's clock was ahead.
    fn event(&self, change: &Change) -> Result<Event, serde_json::Error> {
        let now = self.0.clock.now();
        let time = match change.after {
            Some(after) => now.max(after + TimeDelta::microseconds(1)),
            None => now,
        };
        Event::new(EventId(self.0.clock.new_id(time)), time, &change.data)
    }

    fn succeeded(&self, found: Found) -> bool {
        let mut logged = self.logged();
        if logged.failure.take().is_some() {
            tracing::info!("Datacoves' database is readable again");
        }
        logged.has_read = true;
        let Found::Recorded { events, problems } = found else {
            return false;
        };
        metrics::gauge!("dbt_api_datacoves_last_sync_timestamp_seconds").set(self.0.clock.now().timestamp() as f64);
        metrics::gauge!("dbt_api_datacoves_problems").set(problems.len() as f64);
        if events > 0 {
            tracing::info!(events, "recorded changes in Datacoves");
        }
        for problem in problems.iter().filter(|problem| !logged.problems.contains(problem)) {
            tracing::warn!(problem, "cannot record a row of Datacoves' database as it is");
        }
        logged.problems = problems;
        events > 0
    }

    fn failed(&self, error: &SyncError) {
        metrics::counter!("dbt_api_datacoves_failures_total").increment(1);
        let mut logged = self.logged();
        let kind = discriminant(error);
        if logged.failure.as_ref().is_none_or(|(known, _)| *known != kind) {
            tracing::warn!(%error, "cannot sync the directory; it stays as it is");
        }
        logged.failure = Some((kind, error.to_string()));
    }

    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.0.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
