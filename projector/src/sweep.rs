//! Events that the stream did not bring: the journal compared with the ledger.

use std::time::Duration;

use bucket::Journal;
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
            projector.sweep_directory().await?;
            let found = projector.sweep_uploads(if long { LONG_MARGIN } else { MARGIN }).await?;
            let mut connection = projector.pool.acquire().await?;
            Ok::<_, ApplyError>((found, count_dead_letters(&mut connection).await?))
        };
        let result = tokio::select! {
            result = sweep => result,
            () = shutdown.cancelled() => return,
        };
        match result {
            Ok((found, dead_letters)) => {
                metrics::counter!("dbt_api_swept_events_total").increment(found);
                metrics::gauge!("dbt_api_dead_letters").set(dead_letters as f64);
                metrics::gauge!("dbt_api_last_sweep_timestamp_seconds").set(projector.clock.now().timestamp() as f64);
                if long {
                    long_sweep_due = Some(now + TimeDelta::days(1));
                }
                if found > 0 {
                    tracing::info!(found, "the sweep applied what the stream had not brought");
                }
            }
            Err(error) => tracing::warn!(%error, "the sweep was cut short; the next one goes on"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

impl Projector {
    /// Applies the directory's events that are not applied yet; tells how many.
    ///
    /// # Errors
    /// When the database or the bucket is away.
    pub async fn sweep_directory(&self) -> Result<u64, ApplyError> {
        let ids = self.bucket.list_directory_events().await?;
        let mut connection = self.pool.acquire().await?;
        let applied = directory::applied(&mut connection, &ids).await?;
        let others: Vec<EventId> = ids.into_iter().filter(|id| !applied.contains(id)).collect();
        // Those of retention are of this journal, and are the read model's.
        let missing = unknown_of(&mut connection, &others).await?;
        drop(connection);
        self.apply_all(Journal::Directory, &missing).await
    }

    /// Applies the uploads since the watermark, less a margin, that are not applied yet; tells how many.
    ///
    /// # Errors
    /// When the database or the bucket is away.
    pub async fn sweep_uploads(&self, margin: TimeDelta) -> Result<u64, ApplyError> {
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
        let mut found = 0;
        // One hour more than now: clocks may be ahead.
        while hour <= now + TimeDelta::hours(1) {
            let mut ids = self.bucket.list_events_of_hour(hour).await?;
            ids.retain(|id| time_of(*id).is_none_or(|time| time <= now - YOUNG || time > now));
            let mut connection = self.pool.acquire().await?;
            let missing = unknown_of(&mut connection, &ids).await?;
            drop(connection);
            found += self.apply_all(Journal::Uploads, &missing).await?;
            hour += TimeDelta::hours(1);
        }
        let mut connection = self.pool.acquire().await?;
        set_swept_upto(&mut connection, now).await?;
        Ok(found)
    }

    async fn apply_all(&self, journal: Journal, ids: &[EventId]) -> Result<u64, ApplyError> {
        let mut applied = 0;
        for id in ids {
            let event = match self.bucket.get_event(journal, *id).await {
                Ok(event) => event,
                Err(error) if error.is_unavailable() => return Err(error.into()),
                Err(error) => {
                    // Such an object was put by nobody of us. It must not hold up the others.
                    tracing::error!(event_id = %id, %error, "the journal has an event that cannot be read");
                    continue;
                }
            };
            if self.apply(&event).await? != Outcome::Known {
                applied += 1;
            }
        }
        Ok(applied)
    }
}

fn time_of(id: EventId) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, nanos)
}
