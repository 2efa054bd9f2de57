//! Events that the stream did not bring: the journal compared with the ledger.

use std::time::Duration;

use bucket::{Journal, made_at};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use read_model::{count_dead_letters, set_swept_upto, swept_upto, unknown_of};
use schemas::EventId;
use tokio_util::sync::CancellationToken;

use crate::{ApplyError, Outcome, Projector};

/// Between two sweeps.
const INTERVAL: Duration = Duration::from_secs(30);

/// How far behind the watermark a sweep begins: writers may be late, and their clocks behind.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// How far back the sweep at start, and once a day, looks.
const LONG_MARGIN: TimeDelta = TimeDelta::days(7);

/// Events this young are left to the stream, so that the two do not do the same work at once.
const YOUNG: TimeDelta = TimeDelta::seconds(5);

/// Sweeps at start and regularly until the shutdown.
pub(crate) async fn run(projector: &Projector, shutdown: &CancellationToken) {
    let mut long_sweep_due: Option<DateTime<Utc>> = None;
    while !shutdown.is_cancelled() {
        let now = projector.clock.now();
        let long = long_sweep_due.is_none_or(|due| due <= now);
        let sweep = async {
            // What cannot be applied of the directory holds up no upload.
            let directory = projector.sweep_directory().await;
            let uploads = projector.sweep_uploads(if long { LONG_MARGIN } else { MARGIN }).await?;
            let directory = directory?;
            let mut connection = projector.pool.acquire().await?;
            let dead_letters = count_dead_letters(&mut connection).await?;
            Ok::<_, ApplyError>((directory.applied + uploads.applied, uploads.busy, dead_letters))
        };
        let result = tokio::select! {
            result = sweep => result,
            () = shutdown.cancelled() => return,
        };
        match result {
            Ok((found, busy, dead_letters)) => {
                metrics::gauge!("dbt_api_dead_letters").set(dead_letters as f64);
                metrics::gauge!("dbt_api_last_sweep_timestamp_seconds").set(projector.clock.now().timestamp() as f64);
                // What others work upon is looked at again as long as they do: they may die of it.
                if long && busy == 0 {
                    long_sweep_due = Some(now + TimeDelta::days(1));
                }
                if found > 0 {
                    tracing::info!(found, "the sweep applied what the stream had not brought");
                }
            }
            Err(error) => tracing::warn!(%error, "the sweep left something to be done; the next one goes on"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// So many events were applied, or became dead letters.
    pub applied: u64,
    /// So many are worked upon by others.
    pub busy: u64,
    /// So many could not be applied now.
    failed: u64,
    /// Why the last of them could not.
    cause: String,
}

impl Swept {
    fn fail(&mut self, id: EventId, error: &ApplyError) {
        tracing::warn!(event_id = %id, %error, "an event could not be applied now; the sweep goes on with the others");
        self.failed += 1;
        self.cause = error.to_string();
    }

    /// An error if any event is left for want of something.
    fn end(self) -> Result<Self, ApplyError> {
        match self.failed {
            0 => Ok(self),
            failed => {
                let cause = format!(
                    "{failed} events could not be applied now, the last because: {}",
                    self.cause
                );
                Err(ApplyError::Unavailable(cause))
            }
        }
    }
}

impl Projector {
    /// Applies the directory's events that are not applied yet.
    ///
    /// # Errors
    /// When the database or the bucket is away, or an event could not be applied for want of something; the others were.
    pub async fn sweep_directory(&self) -> Result<Swept, ApplyError> {
        let ids = self.bucket.list_directory_events().await?;
        let mut connection = self.pool.acquire().await?;
        let applied = directory::applied(&mut connection, &ids).await?;
        let others: Vec<EventId> = ids.into_iter().filter(|id| !applied.contains(id)).collect();
        // Those of retention are of this journal, and are the read model's.
        let missing = unknown_of(&mut connection, &others).await?;
        drop(connection);
        let mut swept = Swept::default();
        self.apply_all(Journal::Directory, &missing, &mut swept).await;
        swept.end()
    }

    /// Applies the uploads since the watermark, less a margin, that are not applied yet.
    ///
    /// # Errors
    /// As [`Projector::sweep_directory`].
    pub async fn sweep_uploads(&self, margin: TimeDelta) -> Result<Swept, ApplyError> {
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
        let mut hour = first.duration_trunc(TimeDelta::hours(1)).unwrap_or(first);
        let mut swept = Swept::default();
        // One hour more than now: clocks may be ahead.
        while hour <= now + TimeDelta::hours(1) {
            let mut ids = self.bucket.list_events_of_hour(hour).await?;
            ids.retain(|id| made_at(*id).is_none_or(|time| time <= now - YOUNG || time > now));
            let mut connection = self.pool.acquire().await?;
            let missing = unknown_of(&mut connection, &ids).await?;
            drop(connection);
            self.apply_all(Journal::Uploads, &missing, &mut swept).await;
            hour += TimeDelta::hours(1);
        }
        let swept = swept.end()?;
        if swept.busy == 0 {
            let mut connection = self.pool.acquire().await?;
            set_swept_upto(&mut connection, now).await?;
        }
        Ok(swept)
    }

    /// One that cannot be applied now does not keep the others from it.
    async fn apply_all(&self, journal: Journal, ids: &[EventId], swept: &mut Swept) {
        for id in ids {
            let event = match self.bucket.get_event(journal, *id).await {
                Ok(event) => event,
                Err(error) if error.is_unavailable() => {
                    swept.fail(*id, &error.into());
                    continue;
                }
                Err(error) => {
                    // Such an object was put by nobody of us. It must not hold up the others.
                    tracing::error!(event_id = %id, %error, "the journal has an event that cannot be read");
                    continue;
                }
            };
            match self.apply(&event).await {
                Ok(Outcome::Applied | Outcome::Buried) => {
                    swept.applied += 1;
                    metrics::counter!("dbt_api_swept_events_total").increment(1);
                }
                Ok(Outcome::Known) => {}
                Ok(Outcome::Busy) => swept.busy += 1,
                Err(error) => swept.fail(*id, &error),
            }
        }
    }
}
