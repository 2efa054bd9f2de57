//! Packs the events of past hours into segments.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use schemas::EventId;

use super::format::{self, MAX_CONTENT, MAX_EVENTS};
use super::{Extent, Listed, SEGMENTS};
use crate::hours::{Folders, folder_of, path};
use crate::journal::hour_of;
use crate::parts::MAX_OF_DAY;
use crate::store::Created;
use crate::{Bucket, Error};

/// How long after its end an hour is packed. Sweeps list the last seven days again and again, so these stay as they are.
pub const PACKED_AFTER: TimeDelta = TimeDelta::days(8);

/// The most events that are read at the same time. Packing can wait, so it leaves room for others.
const READ_AT_ONCE: usize = 8;

/// The number of events and segments that were packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The number of new segments.
    pub segments: u64,
    /// The number of events in them.
    pub events: u64,
    /// The number of events that cannot be read, and therefore were not packed.
    pub unreadable: u64,
}

/// The events of an hour as single objects and in segments.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) single: Vec<EventId>,
    pub(super) segments: Vec<Listed>,
}

impl Bucket {
    /// Packs the upload events of all hours that ended before `before`: events without a segment get one. Several may do so at the same time,
    /// and at worst make the same segment. `progress` receives the number of days that are done and the total.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable; what was packed until then stays. Fails at the end, after the other hours, if a segment cannot be
    /// read whose single objects were trimmed.
    pub async fn pack(&self, before: DateTime<Utc>, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Packed, Error> {
        let mut packed = Packed::default();
        let days = Folders::days(self, None, Some(before)).all().await?;
        let mut damaged = Ok(());
        progress(0, days.len() as u64);
        for (done, day) in (1..).zip(&days) {
            damaged = damaged.and(self.pack_day(&path(day), before, &mut packed).await?);
            progress(done, days.len() as u64);
        }
        damaged.map(|()| packed)
    }

    /// Packs the hours of a day that ended before `before`. The inner error is that of a damaged hour; the others are packed.
    pub(super) async fn pack_day(
        &self,
        day: &str,
        before: DateTime<Utc>,
        packed: &mut Packed,
    ) -> Result<Result<(), Error>, Error> {
        let mut damaged = Ok(());
        let mut hours = pin!(self.contents_of_day(day, before));
        while let Some((hour, contents)) = hours.try_next().await? {
            match self.pack_hour(&hour, contents, packed).await {
                Err(error) if error.is_unavailable() => return Err(error),
                result => damaged = damaged.and(result),
            }
        }
        Ok(damaged)
    }

    /// Lists the hours of a day, given as in keys, that ended before `before`: all at once, or one after the other if there are many events.
    pub(super) fn contents_of_day<'a>(
        &'a self,
        day: &'a str,
        before: DateTime<Utc>,
    ) -> impl Stream<Item = Result<(String, Contents), Error>> + 'a {
        stream::once(self.contents_of(day.to_owned(), before, MAX_OF_DAY))
            .map_ok(move |hours| match hours {
                Some(hours) => stream::iter(hours).map(Ok).boxed(),
                None => stream::iter(0..24)
                    .then(move |hour| self.contents_of(format!("{day}/{hour:02}"), before, usize::MAX))
                    .map_ok(|hours| stream::iter(hours.unwrap_or_default()).map(Ok))
                    .try_flatten()
                    .boxed(),
            })
            .try_flatten()
    }

    /// Lists the hours in a folder. Returns none if there are more than `most` single objects.
    async fn contents_of(
        &self,
        folder: String,
        before: DateTime<Utc>,
        most: usize,
    ) -> Result<Option<BTreeMap<String, Contents>>, Error> {
        let first_to_leave = folder_of(before);
        let mut hours: BTreeMap<String, Contents> = BTreeMap::new();
        if folder >= first_to_leave {
            return Ok(Some(hours));
        }
        let Some((single, segments)) = self.list_folder(&folder, most).await? else {
            return Ok(None);
        };
        for id in single {
            // No reader finds the others either, because the id names the folder.
            if let Ok(hour) = hour_of(id) {
                hours.entry(hour).or_default().single.push(id);
            }
        }
        for segment in segments {
            hours.entry(segment.hour.clone()).or_default().segments.push(segment);
        }
        hours.retain(|hour, _| *hour < first_to_leave);
        Ok(Some(hours))
    }

    async fn pack_hour(&self, hour: &str, contents: Contents, packed: &mut Packed) -> Result<(), Error> {
        let missing = self.not_packed(contents).await?;
        let mut events = stream::iter(missing)
            .map(|id| async move { (id, self.read_single_bytes(id).await) })
            .buffered(READ_AT_ONCE);
        let (mut next, mut size) = (Vec::new(), 0);
        while let Some((id, bytes)) = events.next().await {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "an event is not packed, because it cannot be read");
                    packed.unreadable += 1;
                    continue;
                }
            };
            if next.len() == MAX_EVENTS || (size + bytes.len() > MAX_CONTENT && !next.is_empty()) {
                self.put_segment(hour, std::mem::take(&mut next), packed).await?;
                size = 0;
            }
            size += bytes.len();
            next.push((id, bytes));
        }
        if !next.is_empty() {
            self.put_segment(hour, next, packed).await?;
        }
        Ok(())
    }

    /// Returns the events of an hour that are in none of its segments, in ascending order.
    async fn not_packed(&self, mut contents: Contents) -> Result<Vec<EventId>, Error> {
        if contents.single.is_empty() {
            return Ok(Vec::new());
        }
        // Without a mark, each event of a segment has a single object. So if there are as many of them, the segments contain them all, and their
        // indexes need not be read. Should two processes have packed the same event, late ones might be missed; they stay single objects.
        let packed: usize = contents.segments.iter().map(Listed::events).sum();
        if packed == contents.single.len() && contents.segments.iter().all(|segment| !segment.trimmed) {
            return Ok(Vec::new());
        }
        let mut known = HashSet::new();
        for segment in self.open_segments(&contents.segments, Extent::Index).await? {
            known.extend(segment.ids());
        }
        contents.single.retain(|id| !known.contains(id));
        Ok(contents.single)
    }

    async fn put_segment(&self, hour: &str, events: Vec<(EventId, Bytes)>, packed: &mut Packed) -> Result<(), Error> {
        let count = events.len() as u64;
        let folder = format!("{SEGMENTS}/{hour}");
        let failed = |source| Error::Input {
            key: folder.clone(),
            source,
        };
        // Compressing takes a while, in which this thread serves others.
        let written = tokio::task::spawn_blocking(move || format::write(&events)).await;
        let (name, bytes) = written.map_err(|error| failed(error.into()))?.map_err(failed)?;
        let key = format!("{folder}/{name}.zst");
        if self.create(&key, bytes.clone()).await? == Created::Before {
            if self.read(&key).await? == bytes {
                // Another process packs the same hour.
                return Ok(());
            }
            // The name allows only one content, so this one is damaged.
            tracing::warn!(key, "replaced a damaged segment of the journal");
            self.overwrite(&key, bytes).await?;
        }
        packed.segments += 1;
        packed.events += count;
        Ok(())
    }
}
