//! Divides the events of a replay into batches, while the journal is listed.

use std::collections::HashSet;

use bucket::Journal;
use futures_util::stream::{self, BoxStream, Fuse};
use futures_util::{Stream, StreamExt, TryStreamExt};
use schemas::EventId;

use super::tally::Tally;
use crate::batch::MAX_EVENTS;
use crate::selection::Found;
use crate::{ApplyError, Projector};

/// The number of events that one statement compares with the ledger. Each part of the journal is divided from its beginning, so that several
/// replays have the same batches.
const WINDOW: usize = 16 * MAX_EVENTS;

/// Events of one part of the journal that are applied together.
pub(super) struct Batch {
    pub(super) journal: Journal,
    /// The first event of the batch, even if it need not be applied. It names the batch to other replays.
    pub(super) first: EventId,
    pub(super) ids: Vec<EventId>,
}

/// Returns the events as batches in the same order: with `again` all events, otherwise those that are neither applied nor dead letters. The
/// stream ends after an error.
pub(super) fn batches<'a>(
    projector: &'a Projector,
    found: BoxStream<'static, Result<Found, bucket::Error>>,
    again: bool,
    tally: &'a Tally<'a>,
) -> impl Stream<Item = Result<Batch, ApplyError>> + 'a {
    let windows = Windows {
        found: found.fuse(),
        next: None,
        journal: Journal::Directory,
        ids: Vec::new(),
    };
    stream::try_unfold(windows, move |mut windows| async move {
        let Some(ids) = windows.next(tally).await? else {
            return Ok::<_, ApplyError>(None);
        };
        let journal = windows.journal;
        let wanted: HashSet<EventId> = match again {
            true => ids.iter().copied().collect(),
            false => projector.unknown(journal, &ids).await?.into_iter().collect(),
        };
        tally.add_found(wanted.len());
        let mut batches = Vec::new();
        for chunk in ids.chunks(MAX_EVENTS) {
            let ids: Vec<EventId> = chunk.iter().copied().filter(|id| wanted.contains(id)).collect();
            if let (Some(first), false) = (chunk.first().copied(), ids.is_empty()) {
                batches.push(Batch { journal, first, ids });
            }
        }
        Ok(Some((stream::iter(batches).map(Ok), windows)))
    })
    .try_flatten()
}

/// Divides what was found into windows.
struct Windows {
    found: Fuse<BoxStream<'static, Result<Found, bucket::Error>>>,
    /// What was found next, while the events before it are in another part of the journal.
    next: Option<Found>,
    /// The part of the journal that contains `ids`.
    journal: Journal,
    ids: Vec<EventId>,
}

impl Windows {
    /// Returns the next events, which are all in the same part of the journal.
    async fn next(&mut self, tally: &Tally<'_>) -> Result<Option<Vec<EventId>>, bucket::Error> {
        while self.ids.len() < WINDOW {
            let found = match self.next.take() {
                Some(found) => Some(found),
                None => self
                    .found
                    .next()
                    .await
                    .transpose()?
                    .inspect(|found| tally.add_listed(found)),
            };
            let Some(mut found) = found else {
                tally.end_list();
                break;
            };
            if found.journal != self.journal && !self.ids.is_empty() {
                self.next = Some(found);
                break;
            }
            self.journal = found.journal;
            self.ids.append(&mut found.ids);
        }
        let rest = self.ids.split_off(self.ids.len().min(WINDOW));
        let ids = std::mem::replace(&mut self.ids, rest);
        Ok((!ids.is_empty()).then_some(ids))
    }
}
