//! Reads events of the journal: from segments if they are packed, otherwise as single objects, side by side.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, FuturesOrdered};
use futures_util::{StreamExt, stream};
use schemas::{Event, EventId};
use tokio::sync::Semaphore;

use crate::journal::{Journal, hour_of, key, made_at, parse_event};
use crate::segments::{Extent, Segment};
use crate::{Bucket, Error};

/// The most single objects that one stream reads at the same time.
const SINGLE_AT_ONCE: usize = 32;

/// The most events of a batch. Up to [`BATCHES_AT_ONCE`] batches are read ahead of the reader, which bounds the memory.
const BATCH: usize = 512;

/// The number of batches that are read at the same time.
const BATCHES_AT_ONCE: usize = 8;

/// The number of hours whose segments are opened ahead of the reader.
const HOURS_AT_ONCE: usize = 2;

/// Fewer events of an hour than this are read as single objects, because listing and reading segments would not be faster.
const WORTH_SEGMENTS: usize = 8;

/// The size in bytes up to which the segments of an hour are read in one go. Larger ones are read one after the other, as they are needed.
const WHOLE: u64 = 32 * 1024 * 1024;

/// Events of the same hour, or of the directory.
struct Batch {
    ids: Vec<EventId>,
    segments: Vec<Arc<Segment>>,
}

impl Bucket {
    /// Reads events. The stream has one item for each id, in the same order. If the ids are in ascending order, it takes few requests: events
    /// that are packed are read from their segments. It reads ahead, side by side and up to a bound; about 4,000 events may wait in memory.
    ///
    /// The errors of an event are those of [`Bucket::get_event`].
    #[must_use]
    pub fn read_events(
        &self,
        journal: Journal,
        ids: Vec<EventId>,
    ) -> BoxStream<'static, (EventId, Result<Event, Error>)> {
        let hours: Vec<Vec<EventId>> = match journal {
            Journal::Directory => vec![ids],
            Journal::Uploads => {
                let hour = |id: &EventId| made_at(*id).map(|time| time.timestamp() / 3600);
                let hours = ids.chunk_by(|one, next| hour(one) == hour(next));
                hours.map(<[EventId]>::to_vec).collect()
            }
        };
        let requests = Arc::new(Semaphore::new(SINGLE_AT_ONCE));
        let (opening, reading) = (self.clone(), self.clone());
        stream::iter(hours)
            .map(move |ids| {
                let bucket = opening.clone();
                async move {
                    let segments = match journal {
                        Journal::Uploads => bucket.segments_for(&ids).await,
                        Journal::Directory => Vec::new(),
                    };
                    let batches: Vec<Batch> = ids
                        .chunks(BATCH)
                        .map(|ids| Batch {
                            ids: ids.to_vec(),
                            segments: containing(&segments, ids),
                        })
                        .collect();
                    stream::iter(batches)
                }
            })
            .buffered(HOURS_AT_ONCE)
            .flatten()
            .map(move |batch| {
                let (bucket, requests) = (reading.clone(), requests.clone());
                async move { stream::iter(bucket.read_batch(journal, batch, &requests).await) }
            })
            .buffered(BATCHES_AT_ONCE)
            .flatten()
            .boxed()
    }

    /// Opens the segments to read these events of one hour from.
    async fn segments_for(&self, ids: &[EventId]) -> Vec<Arc<Segment>> {
        let Some(hour) = ids.first().and_then(|id| hour_of(*id).ok()) else {
            return Vec::new();
        };
        if ids.len() < WORTH_SEGMENTS {
            return self.segments.of_hour(&hour);
        }
        match self.open_for_reading(&hour).await {
            Ok(segments) => segments,
            Err(error) => {
                // Whatever has no single object either gets an error of its own.
                tracing::error!(%error, hour, "cannot read the segments of an hour; its single objects are read instead");
                Vec::new()
            }
        }
    }

    async fn open_for_reading(&self, hour: &str) -> Result<Vec<Arc<Segment>>, Error> {
        let listed = self.list_segments(hour).await?;
        let size: u64 = listed.iter().map(|segment| segment.size).sum();
        let extent = if size <= WHOLE { Extent::Whole } else { Extent::Index };
        self.open_segments(&listed, extent).await
    }

    async fn read_batch(
        &self,
        journal: Journal,
        batch: Batch,
        requests: &Semaphore,
    ) -> Vec<(EventId, Result<Event, Error>)> {
        let mut packed: HashMap<EventId, Bytes> = HashMap::new();
        for segment in &batch.segments {
            let wanted = batch.ids.iter().copied().filter(|id| !packed.contains_key(id));
            let wanted: Vec<EventId> = wanted.filter(|id| segment.contains(*id)).collect();
            if wanted.is_empty() {
                continue;
            }
            match segment.events(self, &wanted).await {
                Ok(events) => packed.extend(events),
                Err(error) => {
                    tracing::error!(%error, "cannot read a segment of the journal; the single objects of its events are read instead");
                }
            }
        }
        let events = batch.ids.into_iter().map(|id| {
            let packed = packed.get(&id).and_then(|bytes| parse_packed(id, bytes));
            async move {
                let event = match packed {
                    Some(event) => Ok(event),
                    None => {
                        // The semaphore is never closed.
                        let _permit = requests.acquire().await;
                        self.get_event(journal, id).await
                    }
                };
                (id, event)
            }
        });
        events.collect::<FuturesOrdered<_>>().collect().await
    }

    /// Reads an event from a segment that is in memory, if one contains it.
    pub(crate) async fn kept_event(&self, journal: Journal, id: EventId) -> Option<Event> {
        if journal == Journal::Directory {
            return None;
        }
        for segment in self.segments.of_hour(&hour_of(id).ok()?) {
            if !segment.contains(id) {
                continue;
            }
            // A caller that reads one event of a segment in memory is likely to read more of it.
            match segment.events(self, &[id]).await {
                Ok(mut events) => return parse_packed(id, &events.remove(&id)?),
                Err(error) => tracing::warn!(%error, "cannot read a segment of the journal"),
            }
        }
        None
    }

    /// Reads an event from the segments of its hour, and no more than one block of each.
    pub(crate) async fn packed_event(&self, id: EventId) -> Result<Option<Event>, Error> {
        let mut damaged = None;
        for segment in self.segments_of_hour(&hour_of(id)?, Extent::Index).await? {
            match segment.event(self, id).await {
                Ok(Some(bytes)) => {
                    if let Some(event) = parse_packed(id, &bytes) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => damaged = Some(error),
            }
        }
        damaged.map_or(Ok(None), Err)
    }
}

/// Those of the segments that contain any of these events. Others would only stay in memory.
fn containing(segments: &[Arc<Segment>], ids: &[EventId]) -> Vec<Arc<Segment>> {
    let contains = |segment: &&Arc<Segment>| ids.iter().any(|id| segment.contains(*id));
    segments.iter().filter(contains).cloned().collect()
}

/// Parses an event of a segment. A segment contains only events that could be parsed when it was written.
fn parse_packed(id: EventId, bytes: &[u8]) -> Option<Event> {
    let key = key(Journal::Uploads, id).ok()?;
    match parse_event(&key, id, bytes) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!(%error, "a segment of the journal contains something that is not an event");
            None
        }
    }
}
