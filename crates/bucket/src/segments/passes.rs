//! Remembers in the bucket which hours were packed, so that no process looks at the whole journal again each day.

use chrono::{DateTime, DurationRound, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::SEGMENTS;
use super::pack::Packed;
use crate::hours::{Folders, day_of_parts, path};
use crate::{Bucket, Error};

/// How long after the begin of a pass over the whole journal the next one begins. It packs late events of hours that were packed before.
const ALL_AGAIN: TimeDelta = TimeDelta::days(30);

/// A pass over the journal. It goes on for as long as new hours are old enough.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pass {
    /// The pass began by packing hours that ended before this time.
    begun: DateTime<Utc>,
    /// The hours before this time are done.
    done: Option<DateTime<Utc>>,
}

impl Bucket {
    /// Packs like [`Bucket::pack`], but not the hours that this did before, in whatever process. Once in thirty days it begins with the first
    /// hour again.
    ///
    /// # Errors
    /// Fails like [`Bucket::pack`].
    pub async fn pack_new(&self, before: DateTime<Utc>) -> Result<Packed, Error> {
        let before = before.duration_trunc(TimeDelta::hours(1)).unwrap_or(before);
        let new = Pass {
            begun: before,
            done: None,
        };
        let mut pass = self.last_pass().await?.unwrap_or(new);
        if pass.done >= Some(pass.begun) && before - pass.begun >= ALL_AGAIN {
            pass = new;
        }
        let mut packed = Packed::default();
        let mut damaged = Ok(());
        for day in Folders::days(self, pass.done, Some(before)).all().await? {
            damaged = damaged.and(self.pack_day(&path(&day), before, &mut packed).await?);
            // A damaged hour is reported again until it is restored.
            if let (Some(day), Ok(())) = (day_of_parts(&day), &damaged) {
                let end = day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1);
                pass.done = pass.done.max(Some(end.min(before)));
                self.overwrite(&key(), serde_json::to_vec(&pass).unwrap_or_default().into())
                    .await?;
            }
        }
        damaged.map(|()| packed)
    }

    /// Returns the last pass, if it is known. If it is lost, a pass over the whole journal finds the same.
    async fn last_pass(&self) -> Result<Option<Pass>, Error> {
        let bytes = match self.read(&key()).await {
            Err(error) if error.is_not_found() => return Ok(None),
            bytes => bytes?,
        };
        let pass = serde_json::from_slice(&bytes);
        Ok(pass
            .inspect_err(|error| tracing::warn!(%error, key = key(), "cannot read which hours were packed"))
            .ok())
    }
}

fn key() -> String {
    format!("{SEGMENTS}/packed.json")
}
