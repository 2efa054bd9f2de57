//! Finds events that the stream did not deliver, by comparing the journal with the ledger.

use std::time::Duration;

use bucket::{Journal, made_at};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt};
use read_model::journal::{set_swept_upto, swept_upto, unknown_of};
use schemas::{Event, EventId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::batch::MAX_EVENTS;
use crate::{ApplyError, Outcome, Projector, trace};

/// The pause between two sweeps.
const INTERVAL: Duration = Duration::from_secs(30);

/// The pause between two sweeps while the stream delivers nothing.
const DEAF_INTERVAL: Duration = Duration::from_secs(2);

/// How far before the watermark a sweep starts, since writers may be late or have slow clocks.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// How far before the watermark the sweep at startup and once a day starts.
const LONG_MARGIN: TimeDelta = TimeDelta::days(7);

/// Younger events are left to the stream, so that both do not do the same work.
const YOUNG: TimeDelta = TimeDelta::seconds(5);

/// Sweeps at startup and regularly until the shutdown, and more often while nothing is heard from the stream.
pub(crate) async fn run(projector: &Projector, mut hearing: watch::Receiver<bool>, shutdown: &CancellationToken) {
    let mut next_long_sweep: Option<DateTime<Utc>> = None;
    while !shutdown.is_cancelled() {
        let is_deaf = !*hearing.borrow_and_update();
        let now = projector.clock.now();
        let long = next_long_sweep.is_none_or(|next| next <= now);
        let result: Result<_, ApplyError> = async {
            // A failure in the directory does not delay uploads.
            let directory = projector.sweep_directory_until(shutdown).await;
            let margin = if long { LONG_MARGIN } else { MARGIN };
            let young = if is_deaf { TimeDelta::zero() } else { YOUNG };
            let uploads = projector.sweep_uploads_until(margin, young, shutdown).await?;
            Ok((directory?.applied + uploads.applied, uploads.busy))
        }
        .await;
        if shutdown.is_cancelled() {
            return;
        }
        let pause = if is_deaf && result.is_ok() {
            DEAF_INTERVAL
        } else {
            INTERVAL
        };
        match result {
            Ok((found, busy)) => {
                metrics::gauge!("dbt_api_last_sweep_timestamp_seconds").set(projector.clock.now().timestamp() as f64);
                // Events that others are applying are checked again, since the others may die.
                if long && busy == 0 {
                    next_long_sweep = Some(now + TimeDelta::days(1));
                }
                if found > 0 {
                    tracing::info!(found, "the sweep applied events that the stream had not delivered");
                }
            }
            Err(error) => tracing::warn!(%error, "the sweep did not finish; the next one continues"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            Ok(()) = hearing.changed() => {}
        }
    }
}

/// The result of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// The number of events that were applied or became dead letters.
    pub applied: u64,
    /// The number of events that others are applying.
    pub busy: u64,
    /// The number of events that cannot be applied at the moment.
    failed: u64,
    /// The error of the last of these events.
    cause: String,
}

impl Swept {
    fn fail(&mut self, id: EventId, error: &ApplyError) {
        tracing::warn!(event_id = %id, %error, "cannot apply an event at the moment; the sweep continues with the others");
        self.failed += 1;
        self.cause = error.to_string();
    }

    /// Returns an error if an event could not be applied.
    fn end(self) -> Result<Self, ApplyError> {
        match self.failed {
            0 => Ok(self),
            failed => {
                let cause = format!(
                    "{failed} events could not be applied at the moment; the last error: {}",
                    self.cause
                );
                Err(ApplyError::Unavailable(cause))
            }
        }
    }
}

impl Projector {
    /// Applies the events of the directory that are not applied yet.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable, or if an event could not be applied because something was
    /// unavailable. The other events were applied.
    pub async fn sweep_directory(&self) -> Result<Swept, ApplyError> {
        self.sweep_directory_until(&CancellationToken::new()).await
    }

    async fn sweep_directory_until(&self, shutdown: &CancellationToken) -> Result<Swept, ApplyError> {
        let mut swept = Swept::default();
        let Some(ids) = shutdown.run_until_cancelled(self.bucket.list_directory_events()).await else {
            return Ok(swept);
        };
        let ids = ids?;
        let mut connection = self.pool.acquire().await?;
        let applied = directory::applied(&mut connection, &ids).await?;
        let others: Vec<EventId> = ids.into_iter().filter(|id| !applied.contains(id)).collect();
        // Retention events are in this journal but belong to the read model.
        let missing = unknown_of(&mut connection, &others).await?;
        drop(connection);
        self.sweep_events(Journal::Directory, &missing, &mut swept, shutdown)
            .await;
        swept.end()
    }

    /// Applies the uploads since the watermark, minus a margin, that are not applied yet.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::sweep_directory`].
    pub async fn sweep_uploads(&self, margin: TimeDelta) -> Result<Swept, ApplyError> {
        self.sweep_uploads_until(margin, YOUNG, &CancellationToken::new()).await
    }

    /// Events that are younger than `young` are left to the stream.
    async fn sweep_uploads_until(
        &self,
        margin: TimeDelta,
        young: TimeDelta,
        shutdown: &CancellationToken,
    ) -> Result<Swept, ApplyError> {
        let now = self.clock.now();
        let mut connection = self.pool.acquire().await?;
        let watermark = swept_upto(&mut connection).await?;
        drop(connection);
        let first = match watermark {
            Some(watermark) => watermark.min(now) - margin,
            None => match self.bucket.first_hour().await? {
                Some(hour) => hour,
                None => now,
            },
        };
        let mut swept = Swept::default();
        // It includes one hour in the future, since clocks may be fast.
        let mut hours = self.bucket.events_of_hours(first, now + TimeDelta::hours(1));
        while let Some(mut ids) = shutdown
            .run_until_cancelled(hours.try_next())
            .await
            .transpose()?
            .flatten()
        {
            ids.retain(|id| made_at(*id).is_none_or(|time| time <= now - young || time > now));
            let mut connection = self.pool.acquire().await?;
            let missing = unknown_of(&mut connection, &ids).await?;
            drop(connection);
            self.sweep_events(Journal::Uploads, &missing, &mut swept, shutdown)
                .await;
        }
        let swept = swept.end()?;
        // The shutdown leaves events for the next sweep.
        if swept.busy == 0 && !shutdown.is_cancelled() {
            let mut connection = self.pool.acquire().await?;
            set_swept_upto(&mut connection, now).await?;
        }
        Ok(swept)
    }

    /// Applies these events. An event that cannot be applied at the moment does not stop the others. A batch that was begun before the shutdown
    /// is finished: otherwise its events would count as begun without an end, like those that kill their projector.
    async fn sweep_events(&self, journal: Journal, ids: &[EventId], swept: &mut Swept, shutdown: &CancellationToken) {
        for ids in ids.chunks(MAX_EVENTS) {
            let Some(read) = shutdown.run_until_cancelled(self.read_events(journal, ids)).await else {
                return;
            };
            let mut events = Vec::new();
            for (id, read) in read {
                match read {
                    Ok(event) => events.push(event),
                    Err(error) if error.is_unavailable() => swept.fail(id, &error.into()),
                    // This program did not write such an object. It must not block the other events.
                    Err(error) => tracing::error!(event_id = %id, %error, "cannot read an event in the journal"),
                }
            }
            let spans: Vec<Span> = events.iter().map(trace::span_of).collect();
            let span = spans.first().cloned().unwrap_or_else(Span::none);
            let results = self.apply_all(&events).instrument(span).await;
            for ((event, span), result) in events.iter().zip(&spans).zip(results) {
                trace::mark(span, &result);
                match result {
                    Ok(Outcome::Applied | Outcome::DeadLetter) => {
                        swept.applied += 1;
                        metrics::counter!("dbt_api_swept_events_total").increment(1);
                    }
                    Ok(Outcome::Known) => {}
                    Ok(Outcome::Busy) => swept.busy += 1,
                    Err(error) => swept.fail(event.id, &error),
                }
            }
        }
    }

    /// Reads events of the journal, several at the same time, in the same order.
    pub(crate) async fn read_events(
        &self,
        journal: Journal,
        ids: &[EventId],
    ) -> Vec<(EventId, Result<Event, bucket::Error>)> {
        self.bucket.read_events(journal, ids.to_vec()).collect().await
    }
}
