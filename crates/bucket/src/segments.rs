//! Segments hold copies of the events of past hours, so that many are read with one request. A segment
//! `events/segments/YYYY/MM/DD/HH/<name>.zst` is created once and never changed. An hour may have several, since imports write events with
//! old times. The single objects stay until [`Bucket::trim`] deletes them; before it does, it marks the segment with an empty object
//! `<name>.trimmed`. So a damaged segment without the mark costs nothing, unless fewer events of its hour are found elsewhere than it has.

mod cache;
mod format;
mod pack;
mod passes;
mod trim;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use schemas::EventId;
use tokio::sync::OnceCell;

use crate::journal::hour_of;
use crate::{Bucket, Error};

pub(crate) use cache::Cache;
use format::{HEAD, Index, SegmentName};
pub use pack::{PACKED_AFTER, Packed};
pub use trim::Trimmed;

/// The folder of the segments. Its folders are those of the hours.
pub(crate) const SEGMENTS: &str = "events/segments";

/// The most indexes that are read at the same time.
const INDEXES_AT_ONCE: usize = 8;

/// A segment as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The hour as in the key, for example `2026/11/23/17`.
    pub(crate) hour: String,
    name: SegmentName,
    /// The size of the object in bytes.
    pub(crate) size: u64,
    /// Whether single objects of its events may have been deleted.
    pub(crate) trimmed: bool,
}

impl Listed {
    /// The number of events.
    pub(crate) fn events(&self) -> usize {
        self.name.events as usize
    }

    fn key(&self) -> String {
        format!("{SEGMENTS}/{}/{}.zst", self.hour, self.name)
    }

    /// The error if it cannot be read, but may have the only copies of events.
    fn is_needed(&self, problem: &str) -> Error {
        Error::corrupt(
            &self.key(),
            format_args!(
                "{problem}. Events may be nowhere else, because single objects were deleted: restore this object from a copy of the bucket or \
                 an earlier version"
            ),
        )
    }

    /// The key of the object that marks a segment as trimmed.
    fn mark(&self) -> String {
        format!("{SEGMENTS}/{}/{}.trimmed", self.hour, self.name)
    }
}

/// A segment whose index was read.
#[derive(Debug)]
pub(crate) struct Segment {
    hour: String,
    key: String,
    size: u64,
    index: Index,
    /// All of its bytes, once they were needed.
    bytes: OnceCell<Bytes>,
}

/// What to read of a segment to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The index, and the rest only when it is needed.
    Index,
    /// The index and all events.
    Whole,
}

impl Bucket {
    /// Lists the segments under a folder such as `2026/11/23` or `2026/11/23/17`. To see all events, list the single objects first: an event
    /// may be packed and its single object deleted in between.
    pub(crate) async fn list_segments(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let mut found: BTreeMap<(String, String), (Option<u64>, bool)> = BTreeMap::new();
        for (key, size) in self.list_objects(&format!("{SEGMENTS}/{folder}")).await? {
            let Some((hour, file)) = key
                .strip_prefix(SEGMENTS)
                .and_then(|key| key.trim_start_matches('/').rsplit_once('/'))
            else {
                continue;
            };
            let (name, suffix) = file.split_once('.').unwrap_or((file, ""));
            let segment = found.entry((hour.to_owned(), name.to_owned())).or_default();
            match suffix {
                "zst" => segment.0 = Some(size),
                "trimmed" => segment.1 = true,
                _ => tracing::warn!(key, "the journal contains an object that is not a segment"),
            }
        }
        let mut segments = Vec::with_capacity(found.len());
        for ((hour, name), (size, trimmed)) in found {
            let Ok(name) = name.parse() else {
                tracing::warn!(hour, name, "the journal contains an object that is not a segment");
                continue;
            };
            // A mark without a segment has size 0, and reading that fails.
            if size.is_some() || trimmed {
                let size = size.unwrap_or_default();
                segments.push(Listed {
                    hour,
                    name,
                    size,
                    trimmed,
                });
            }
        }
        Ok(segments)
    }

    /// Reads the indexes of segments. A damaged segment is left out with an error in the log, as long as the single objects of its events are
    /// still there.
    pub(crate) async fn open_segments(&self, listed: &[Listed], extent: Extent) -> Result<Vec<Arc<Segment>>, Error> {
        let opened = stream::iter(listed.to_vec()).map(|listed| async move {
            match self.open_segment(&listed, extent).await {
                Ok(segment) => Ok(Some(segment)),
                Err(error) if error.is_unavailable() => Err(error),
                Err(error) if listed.trimmed => Err(listed.is_needed(&error.to_string())),
                Err(error) => {
                    tracing::error!(%error, "a segment of the journal is damaged; the single objects of its events are read instead");
                    Ok(None)
                }
            }
        });
        let opened = opened.buffered(INDEXES_AT_ONCE);
        opened.try_filter_map(async |segment| Ok(segment)).try_collect().await
    }

    /// Opens the segments of an hour that contain events, given as in their keys.
    pub(crate) async fn segments_of_hour(&self, hour: &str, extent: Extent) -> Result<Vec<Arc<Segment>>, Error> {
        let listed = self.list_segments(hour).await?;
        self.open_segments(&listed, extent).await
    }

    async fn open_segment(&self, listed: &Listed, extent: Extent) -> Result<Arc<Segment>, Error> {
        let key = listed.key();
        if let Some(segment) = self.segments.find(&key) {
            return Ok(segment);
        }
        let segment = Arc::new(self.read_segment(listed, extent).await?);
        self.segments.keep(&segment);
        Ok(segment)
    }

    async fn read_segment(&self, listed: &Listed, extent: Extent) -> Result<Segment, Error> {
        let key = listed.key();
        let read = match extent {
            Extent::Index => HEAD.min(listed.size),
            Extent::Whole => listed.size,
        };
        if read == 0 {
            return Err(Error::corrupt(&key, "it is empty or missing"));
        }
        let bytes = self.read_range(&key, 0..read).await?;
        let index = Index::read(listed.name, &bytes).map_err(|problem| Error::corrupt(&key, problem))?;
        Ok(Segment {
            hour: listed.hour.clone(),
            key,
            size: listed.size,
            index,
            bytes: OnceCell::new_with((read == listed.size).then_some(bytes)),
        })
    }

    async fn read_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let failed = |error| self.error(key, error);
        let object = self.store.get_opts(&Path::from(key), options).await.map_err(failed)?;
        object.bytes().await.map_err(failed)
    }
}

/// Checks that the hours of segments that could not be opened have at least as many events as these. Otherwise single objects were lost.
pub(crate) fn check_complete(listed: &[Listed], opened: &[Arc<Segment>], ids: &[EventId]) -> Result<(), Error> {
    let opened: HashSet<&str> = opened.iter().map(|segment| segment.key.as_str()).collect();
    for damaged in listed.iter().filter(|listed| !opened.contains(listed.key().as_str())) {
        let found = ids
            .iter()
            .filter(|id| hour_of(**id).is_ok_and(|hour| hour == damaged.hour))
            .count();
        if found < damaged.events() {
            let problem = format!(
                "it is damaged, and only {found} of its {} events are found",
                damaged.events()
            );
            return Err(damaged.is_needed(&problem));
        }
    }
    Ok(())
}

impl Segment {
    /// The ids of its events in ascending order.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = EventId> {
        self.index.ids()
    }

    pub(crate) fn contains(&self, id: EventId) -> bool {
        self.index.position(id).is_some()
    }

    /// How much memory it takes, in bytes.
    fn memory(&self) -> usize {
        self.index.memory() + self.bytes.get().map_or(0, Bytes::len)
    }

    /// Reads the events among `ids`, which are in ascending order, and reads everything, because more may be wanted. Damaged ones are left out
    /// with an error in the log.
    pub(crate) async fn events(
        self: &Arc<Self>,
        bucket: &Bucket,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, Bytes>, Error> {
        let whole = self.whole(bucket).await?;
        let mut events = HashMap::new();
        let mut open: Option<(usize, Result<Bytes, String>)> = None;
        for id in ids {
            let Some(position) = self.index.position(*id) else {
                continue;
            };
            let block = self.index.block_of(position);
            if open.as_ref().is_none_or(|(number, _)| *number != block) {
                let content = self.open_in(&whole, block);
                if let Err(problem) = &content {
                    tracing::error!(
                        key = self.key,
                        problem,
                        "a block of a segment of the journal is damaged"
                    );
                }
                open = Some((block, content));
            }
            if let Some((_, Ok(content))) = &open {
                events.insert(*id, self.index.event_in(content, position));
            }
        }
        Ok(events)
    }

    /// Reads one event, and no more than its block. Returns none if the segment does not contain it.
    pub(crate) async fn event(&self, bucket: &Bucket, id: EventId) -> Result<Option<Bytes>, Error> {
        let Some(position) = self.index.position(id) else {
            return Ok(None);
        };
        let block = self.index.block_of(position);
        let content = match self.bytes.get() {
            Some(whole) => self.open_in(whole, block),
            None => {
                let bytes = bucket.read_range(&self.key, self.index.range_of(block)).await?;
                self.index.open(block, &bytes)
            }
        };
        let content = content.map_err(|problem| Error::corrupt(&self.key, problem))?;
        Ok(Some(self.index.event_in(&content, position)))
    }

    /// All bytes. They are read once, however many ask for them at the same time.
    async fn whole(self: &Arc<Self>, bucket: &Bucket) -> Result<Bytes, Error> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes.clone());
        }
        let read = self
            .bytes
            .get_or_try_init(|| bucket.read_range(&self.key, 0..self.size));
        let bytes = read.await?.clone();
        // It takes more memory now.
        bucket.segments.keep(self);
        Ok(bytes)
    }

    fn open_in(&self, whole: &Bytes, block: usize) -> Result<Bytes, String> {
        let range = self.index.range_of(block);
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let bytes = range.and_then(|(start, end)| whole.get(start..end));
        self.index
            .open(block, bytes.ok_or("it is shorter than its index says")?)
    }
}
