//! Iterates over the hours of the journal, in which events are single objects, in segments or both.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use schemas::EventId;

use crate::journal::{UPLOADS, parse};
use crate::segments::SEGMENTS;
use crate::{Bucket, Error};

/// The most hours that are listed at the same time.
const MAX_AHEAD: usize = 8;

/// Iterates over hours of the journal. Whoever reads many gets them from several lists that run at the same time.
pub struct Hours {
    folders: Folders,
    /// The lists of the next hours.
    ahead: FuturesOrdered<BoxFuture<'static, Listing>>,
    /// How many lists run at the same time: one at first, because one hour may be enough, and twice as many after each hour.
    at_once: usize,
}

/// An hour and its events.
type Listing = Result<(DateTime<Utc>, Vec<EventId>), Error>;

impl Hours {
    pub(crate) fn back(bucket: &Bucket, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        Self::of(Folders {
            newest_first: true,
            from: from.map(parts_of_hour),
            to: to.map(parts_of_hour),
            ..Folders::to_depth(bucket, 4)
        })
    }

    pub(crate) fn forward(bucket: &Bucket) -> Self {
        Self::of(Folders::to_depth(bucket, 4))
    }

    fn of(folders: Folders) -> Self {
        Self {
            folders,
            ahead: FuturesOrdered::new(),
            at_once: 1,
        }
    }

    /// Returns the next hour and the ids of its events in ascending order.
    ///
    /// # Errors
    /// Fails like [`Bucket::list_events_of_hour`].
    pub async fn next(&mut self) -> Result<Option<(DateTime<Utc>, Vec<EventId>)>, Error> {
        loop {
            while self.ahead.len() < self.at_once
                && let Some(parts) = self.folders.next().await?
            {
                if let Some(hour) = hour_of_parts(&parts) {
                    let bucket = self.folders.bucket.clone();
                    let list = async move { Ok((hour, bucket.list_events_of_hour(hour).await?)) };
                    self.ahead.push_back(Box::pin(list));
                }
            }
            match self.ahead.next().await.transpose()? {
                // A local folder may be empty: it is created just before the object in it, and stays when that is trimmed.
                Some((_, ids)) if ids.is_empty() => {}
                Some(listed) => {
                    self.at_once = (self.at_once * 2).min(MAX_AHEAD);
                    return Ok(Some(listed));
                }
                None => return Ok(None),
            }
        }
    }
}

/// Finds folders of the journal: years, months, days and hours.
pub(crate) struct Folders {
    bucket: Bucket,
    /// A stack of folders to visit, each as the numbers in its path.
    stack: Vec<Vec<u32>>,
    /// The depth of the folders to find: 3 for days, 4 for hours.
    depth: usize,
    newest_first: bool,
    from: Option<[u32; 4]>,
    to: Option<[u32; 4]>,
}

impl Folders {
    fn to_depth(bucket: &Bucket, depth: usize) -> Self {
        Self {
            bucket: bucket.clone(),
            stack: vec![Vec::new()],
            depth,
            newest_first: false,
            from: None,
            to: None,
        }
    }

    /// Finds all days, the oldest first.
    pub(crate) fn days(bucket: &Bucket) -> Self {
        Self::to_depth(bucket, 3)
    }

    /// Returns the rest of the folders, for example `2026/11/23`.
    pub(crate) async fn all(mut self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        while let Some(parts) = self.next().await? {
            all.push(path(&parts));
        }
        Ok(all)
    }

    async fn next(&mut self) -> Result<Option<Vec<u32>>, Error> {
        // Depth first, because a folder may turn out to be empty.
        while let Some(parts) = self.stack.pop() {
            if parts.len() == self.depth {
                return Ok(Some(parts));
            }
            let folder = path(&parts);
            // The segments last: an hour may be packed and trimmed in between.
            let mut names = self.bucket.list_folders(&format!("{UPLOADS}/{folder}")).await?;
            names.extend(self.bucket.list_folders(&format!("{SEGMENTS}/{folder}")).await?);
            let numbers = names.iter().filter_map(|name| parse(name));
            let mut inner: Vec<Vec<u32>> = numbers
                .map(|number| [parts.as_slice(), &[number]].concat())
                .filter(|parts| self.may_hold(parts))
                .collect();
            inner.sort_unstable();
            inner.dedup();
            if !self.newest_first {
                inner.reverse();
            }
            self.stack.extend(inner);
        }
        Ok(None)
    }

    fn may_hold(&self, parts: &[u32]) -> bool {
        self.from.is_none_or(|from| *parts >= from[..parts.len()])
            && self.to.is_none_or(|to| *parts <= to[..parts.len()])
    }
}

fn path(parts: &[u32]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("{part:02}")).collect();
    parts.join("/")
}

/// The folder of the hour that contains this time, for example `2026/11/23/17`.
pub(crate) fn folder_of(time: DateTime<Utc>) -> String {
    time.format("%Y/%m/%d/%H").to_string()
}

fn parts_of_hour(hour: DateTime<Utc>) -> [u32; 4] {
    let year = u32::try_from(hour.year()).unwrap_or(0);
    [year, hour.month(), hour.day(), hour.hour()]
}

fn hour_of_parts(parts: &[u32]) -> Option<DateTime<Utc>> {
    let &[year, month, day, hour] = parts else { return None };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_time(NaiveTime::default()).with_hour(hour)?.and_utc())
}
