//! Iterates over the hours of the journal, in which events are single objects, in segments or both.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use futures_util::StreamExt;
use futures_util::future::{self, BoxFuture};
use futures_util::stream::FuturesOrdered;
use schemas::EventId;
use tokio_util::task::AbortOnDropHandle;

use crate::journal::{UPLOADS, parse};
use crate::segments::SEGMENTS;
use crate::{Bucket, Error};

/// The most hours that are listed at the same time.
const MAX_AHEAD: usize = 8;

/// Iterates over hours of the journal. A caller that reads many gets them from several lists that run at the same time.
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

    /// Iterates from the hour that contains `from` to the hour that contains `to`, the oldest first.
    pub(crate) fn between(bucket: &Bucket, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self::of(Folders {
            from: Some(parts_of_hour(from)),
            to: Some(parts_of_hour(to)),
            ..Folders::to_depth(bucket, 4)
        })
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
                    self.ahead.push_back(Box::pin(beside(list)));
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

    /// Finds the days from the one that contains `from` to the one that contains `to`, the oldest first.
    pub(crate) fn days(bucket: &Bucket, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        Self {
            from: from.map(parts_of_hour),
            to: to.map(parts_of_hour),
            ..Self::to_depth(bucket, 3)
        }
    }

    /// Returns the rest of the folders, each as the numbers in its path.
    pub(crate) async fn all(mut self) -> Result<Vec<Vec<u32>>, Error> {
        let mut all = Vec::new();
        while let Some(parts) = self.next().await? {
            all.push(parts);
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

/// Starts work that goes on while nobody asks for its result: a server would cut a list that is not read for a while. The work ends when the
/// future is dropped.
pub(crate) fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> impl Future<Output = T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    async move {
        match task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => result,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(Err(_)) => future::pending().await,
        }
    }
}

pub(crate) fn path(parts: &[u32]) -> String {
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

pub(crate) fn day_of_parts(parts: &[u32]) -> Option<NaiveDate> {
    let &[year, month, day] = parts else { return None };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

pub(crate) fn hour_of_parts(parts: &[u32]) -> Option<DateTime<Utc>> {
    let (&hour, day) = parts.split_last()?;
    let date = day_of_parts(day)?;
    Some(date.and_time(NaiveTime::default()).with_hour(hour)?.and_utc())
}
