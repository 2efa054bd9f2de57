//! What was accepted and is not shown yet.

use bucket::made_at;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use read_model::dead_letters::count_dead_letters;
use read_model::journal::{swept_upto, unknown_of};
use serde::Serialize;

use crate::{ApplyError, Projector};

/// How far before the last sweep to look, as in a sweep.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// The state of the journal compared with that of the read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The number of accepted events that are neither applied nor dead letters.
    pub waiting_events: u64,
    /// When the oldest of them was made.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// The number of dead letters that were not dropped.
    pub dead_letters: i64,
    /// The time up to which all events of the journal are applied or dead letters. `None` before the first sweep.
    pub swept_until: Option<DateTime<Utc>>,
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
            waiting_events: 0,
            oldest_waiting: None,
            dead_letters: count_dead_letters(&mut connection).await?,
            swept_until: swept_upto(&mut connection).await?,
        };
        let first = match waiting.swept_until {
            Some(swept) => swept.min(now) - MARGIN,
            None => self.bucket.first_hour().await?.unwrap_or(now),
        };
        let of_directory = self.bucket.list_directory_events().await?;
        let applied = directory::applied(&mut connection, &of_directory).await?;
        let mut unknown: Vec<_> = of_directory.into_iter().filter(|id| !applied.contains(id)).collect();
        unknown = unknown_of(&mut connection, &unknown).await?;
        waiting.add(&unknown);
        // One hour in the future, since clocks may be fast.
        let mut hours = self.bucket.events_of_hours(first, now + TimeDelta::hours(1));
        while let Some(ids) = hours.try_next().await? {
            waiting.add(&unknown_of(&mut connection, &ids).await?);
        }
        Ok(waiting)
    }
}

impl Waiting {
    fn add(&mut self, events: &[schemas::EventId]) {
        self.waiting_events += events.len() as u64;
        let oldest = events.iter().filter_map(|id| made_at(*id)).min();
        self.oldest_waiting = self.oldest_waiting.into_iter().chain(oldest).min();
    }
}
