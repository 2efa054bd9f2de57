//! Lists the upload events of a long time in parts, so that their reader holds only a few parts in memory, however long the time is.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use schemas::EventId;

use crate::hours::{Folders, beside, day_of_parts, folder_of};
use crate::{Bucket, Error, Hours};

/// The most days that are listed at the same time, ahead of the reader.
const DAYS_AT_ONCE: usize = 8;

/// The most events of a day that is listed as one part. A day with more is listed hour by hour.
pub(crate) const MAX_OF_DAY: usize = 25_000;

/// The most hours that are listed at the same time.
const HOURS_AT_ONCE: usize = 8;

/// The events of a day or an hour.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Their ids in ascending order, which follow those of the parts before. There may be none.
    pub ids: Vec<EventId>,
    /// How many hours of the journal are listed after this part.
    pub hours_listed: u64,
    /// How many hours of the journal there are to list.
    pub hours: u64,
}

/// A day of the journal, or the hours of it that are wanted.
#[derive(Clone, Copy)]
struct Day {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    is_whole: bool,
}

impl Bucket {
    /// Lists the upload events from the hour that contains `from` to the hour that contains `to`, the oldest first. It lists ahead of the
    /// reader, a day at a time, or an hour at a time where a day has many events.
    ///
    /// The errors are those of [`Bucket::list_events_of_hour`].
    #[must_use]
    pub fn upload_events(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> BoxStream<'static, Result<Part, Error>> {
        let (bucket, folders) = (self.clone(), Folders::days(self, from, to));
        stream::once(folders.all())
            .map_ok(move |folders| {
                let days = folders.iter().filter_map(|parts| day_of_parts(parts));
                bucket
                    .clone()
                    .parts_of(days.map(|day| Day::between(day, from, to)).collect())
            })
            .try_flatten()
            .boxed()
    }

    /// Lists the upload events of each hour from the one that contains `from` to the one that contains `to`, several hours at the same time. It
    /// does not look for the hours first, which would take more requests than the few hours of a sweep.
    ///
    /// The errors are those of [`Bucket::list_events_of_hour`].
    #[must_use]
    pub fn events_of_hours(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> BoxStream<'static, Result<Vec<EventId>, Error>> {
        let bucket = self.clone();
        let hours = std::iter::successors(Some(from), |hour| hour.checked_add_signed(TimeDelta::hours(1)));
        stream::iter(hours.take_while(move |hour| folder_of(*hour) <= folder_of(to)))
            .map(move |hour| {
                let bucket = bucket.clone();
                beside(async move { bucket.list_events_of_hour(hour).await })
            })
            .buffered(HOURS_AT_ONCE)
            .boxed()
    }

    fn parts_of(self, days: Vec<Day>) -> BoxStream<'static, Result<Part, Error>> {
        let hours = 24 * days.len() as u64;
        let (listing, opening) = (self.clone(), self);
        stream::iter((0_u64..).zip(days))
            .map(move |(number, day)| {
                let bucket = listing.clone();
                beside(async move { Ok((number, day, bucket.list_day(day).await?)) })
            })
            .buffered(DAYS_AT_ONCE)
            .map_ok(move |(number, day, listed)| match listed {
                Some(ids) => {
                    let hours_listed = 24 * (number + 1);
                    let part = Part {
                        ids,
                        hours_listed,
                        hours,
                    };
                    stream::once(async { Ok(part) }).boxed()
                }
                None => {
                    let of_day = Hours::between(&opening, day.from, day.to);
                    stream::try_unfold(of_day, move |mut of_day| async move {
                        Ok(of_day.next().await?.map(|(hour, ids)| {
                            let hours_listed = 24 * number + u64::from(hour.hour()) + 1;
                            (
                                Part {
                                    ids,
                                    hours_listed,
                                    hours,
                                },
                                of_day,
                            )
                        }))
                    })
                    .boxed()
                }
            })
            .try_flatten()
            .boxed()
    }

    /// Lists a day, unless it should be listed hour by hour.
    async fn list_day(&self, day: Day) -> Result<Option<Vec<EventId>>, Error> {
        if !day.is_whole {
            return Ok(None);
        }
        let folder = day.from.format("%Y/%m/%d").to_string();
        self.list_packed_and_single(&folder, MAX_OF_DAY).await
    }
}

impl Day {
    fn between(day: NaiveDate, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        let start = day.and_time(NaiveTime::MIN).and_utc();
        let last_hour = start + TimeDelta::hours(23);
        Self {
            from: from.map_or(start, |from| from.max(start)),
            to: to.map_or(last_hour, |to| to.min(last_hour)),
            is_whole: from.is_none_or(|from| from <= start) && to.is_none_or(|to| to >= last_hour),
        }
    }
}
