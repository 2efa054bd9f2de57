//! Deletes single objects of events that are in segments.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::EventId;

use super::pack::Contents;
use super::{Extent, Listed};
use crate::hours::{Folders, path};
use crate::journal::{Journal, key};
use crate::{Bucket, Error};

/// The most single objects that are compared at the same time.
const COMPARED_AT_ONCE: usize = 32;

/// What was trimmed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The number of single objects that were deleted, or would be compared and deleted.
    pub deleted: u64,
    /// The number of single objects that are not the same as in their segment, and stay.
    pub different: u64,
    /// The number of single objects that are in no segment, and stay.
    pub not_packed: u64,
}

impl Bucket {
    /// Deletes the single objects of upload events of all hours that ended before `before`, each after it was compared with a segment. Without
    /// `apply`, only counts those that are in a segment. `progress` receives the number of days that are done and the total.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable. What was deleted until then stays deleted.
    pub async fn trim(
        &self,
        before: DateTime<Utc>,
        apply: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Trimmed, Error> {
        let mut trimmed = Trimmed::default();
        let days = Folders::days(self, None, Some(before)).all().await?;
        progress(0, days.len() as u64);
        for (done, day) in (1..).zip(&days) {
            let day = path(day);
            let mut hours = pin!(self.contents_of_day(&day, before));
            while let Some((_, contents)) = hours.try_next().await? {
                self.trim_hour(contents, apply, &mut trimmed).await?;
            }
            progress(done, days.len() as u64);
        }
        Ok(trimmed)
    }

    async fn trim_hour(&self, contents: Contents, apply: bool, trimmed: &mut Trimmed) -> Result<(), Error> {
        let mut single = contents.single;
        for listed in &contents.segments {
            if single.is_empty() {
                break;
            }
            // One that another read has kept in memory says nothing about the object.
            let extent = if apply { Extent::Whole } else { Extent::Index };
            let segment = match self.read_segment(listed, extent).await {
                Ok(segment) => Arc::new(segment),
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "a segment of the journal is damaged; the single objects of its events stay");
                    continue;
                }
            };
            let (packed, rest) = single.into_iter().partition(|id| segment.contains(*id));
            single = rest;
            let packed: Vec<EventId> = packed;
            if !apply {
                trimmed.deleted += packed.len() as u64;
                continue;
            }
            let events = segment.events(self, &packed).await?;
            let same = stream::iter(packed)
                .map(|id| {
                    let packed = events.get(&id);
                    async move { Ok((id, self.is_same(id, packed).await?)) }
                })
                .buffer_unordered(COMPARED_AT_ONCE);
            let compared: Vec<Result<(EventId, bool), Error>> = same.collect().await;
            let compared: Vec<(EventId, bool)> = compared.into_iter().collect::<Result<_, _>>()?;
            let same: Vec<EventId> = compared.iter().filter(|(_, same)| *same).map(|(id, _)| *id).collect();
            trimmed.different += (compared.len() - same.len()) as u64;
            trimmed.deleted += same.len() as u64;
            self.delete_single(listed, &same).await?;
        }
        trimmed.not_packed += single.len() as u64;
        Ok(())
    }

    /// Whether the single object of an event has the bytes of its segment.
    async fn is_same(&self, id: EventId, packed: Option<&Bytes>) -> Result<bool, Error> {
        let key = key(Journal::Uploads, id)?;
        let single = match self.read(&key).await {
            Ok(single) => single,
            // Another trim deleted it.
            Err(Error::NotFound { .. }) => return Ok(packed.is_some()),
            Err(error) => return Err(error),
        };
        let same = packed == Some(&single);
        if !same {
            tracing::error!(
                key,
                "the object differs from its segment, or the segment is damaged; it stays"
            );
        }
        Ok(same)
    }

    async fn delete_single(&self, segment: &Listed, ids: &[EventId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        // Readers rely on the mark, so it comes first.
        self.create(&segment.mark(), Bytes::new()).await?;
        let keys: Result<Vec<String>, Error> = ids.iter().map(|id| key(Journal::Uploads, *id)).collect();
        self.delete(keys?).await
    }
}
