//! The newest events of the journal.

use bucket::{Bucket, Journal};
use futures_util::StreamExt;
use projector::Selection;
use schemas::{Event, EventId};

use crate::readable;

/// The fewest events that are read together.
const MIN_PART: usize = 16;

/// The most events that are read together.
const MAX_PART: usize = 4_096;

/// Reads the newest selected events, at most `limit` from each part of the journal. Older events are not read, nor more than `left`, from which
/// those that are read are subtracted.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub async fn newest_events(
    bucket: &Bucket,
    selection: &Selection,
    limit: usize,
    left: &mut usize,
) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    for journal in selection.journals() {
        let mut found = Vec::new();
        match journal {
            Journal::Directory => {
                let ids = bucket.list_directory_events().await?;
                read_back(bucket, selection, *journal, ids, limit, left, &mut found).await?;
            }
            Journal::Uploads => {
                let mut hours = selection.hours_back(bucket);
                while found.len() < limit
                    && *left > 0
                    && let Some((_, ids)) = hours.next().await?
                {
                    read_back(bucket, selection, *journal, ids, limit, left, &mut found).await?;
                }
            }
        }
        events.extend(found);
    }
    Ok(events)
}

/// Reads events from the last to the first, until `limit` selected ones have been found or no more may be read.
///
/// # Errors
/// Fails if the bucket is unavailable.
pub async fn read_back(
    bucket: &Bucket,
    selection: &Selection,
    journal: Journal,
    mut ids: Vec<EventId>,
    limit: usize,
    left: &mut usize,
    found: &mut Vec<Event>,
) -> anyhow::Result<()> {
    ids.retain(|id| selection.may_mean(*id));
    ids.reverse();
    // No more are read than are wanted, unless only few of them are selected.
    let mut part = limit.clamp(MIN_PART, MAX_PART);
    let mut rest = ids.as_slice();
    while !rest.is_empty() && found.len() < limit && *left > 0 {
        let (next, others) = rest.split_at(part.min(rest.len()).min(*left));
        *left -= next.len();
        let mut events = bucket.read_events(journal, next.to_vec());
        while found.len() < limit
            && let Some((id, event)) = events.next().await
        {
            found.extend(readable(id, event)?.filter(|event| selection.matches(event)));
        }
        rest = others;
        part = (part * 2).min(MAX_PART);
    }
    Ok(())
}
