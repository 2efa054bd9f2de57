//! The read model made anew from the journal, beside the one that is in use, and put in its place.
//!
//! Uploads, live events and readers go on meanwhile. Only for the comparison at the end are live events kept waiting, so that both read
//! models have seen the same.

use bucket::Journal;
use chrono::{DateTime, Utc};
use read_model::{
    Difference, analyze, compare, copy_dropped, create_schema, drop_schema, has_schema, is_lock_conflict,
    is_of_this_version, lock_read_model, lock_rebuild, missing_in, set_swept_upto, swap,
};
use schemas::EventId;
use sqlx::{Connection, PgConnection};

use crate::{ApplyError, Outcomes, Projector, Selection};

/// Where the new read model is made.
pub const NEXT_SCHEMA: &str = "read_model_next";

/// Where the old one is kept after the swap.
pub const OLD_SCHEMA: &str = "read_model_old";

const LIVE_SCHEMA: &str = "read_model";

/// How often the end, and the swap, are tried: others may be ahead in applying an event, or read for long.
const TRIES: usize = 20;

/// A rebuild.
pub struct Rebuild {
    /// Writes to the read model that is in use.
    pub live: Projector,
    /// Writes to the new one.
    pub next: Projector,
    /// A connection as the owner of the database, with PostgreSQL's own search path.
    pub owner: PgConnection,
}

impl Rebuild {
    /// Makes the new read model's tables, unless an earlier rebuild by this version did and was cut short: then it is gone on with. True when
    /// it is new. No other rebuild may work as long as the owner's connection lives.
    ///
    /// # Errors
    /// When the database is away, another rebuild is at work, or the user may not make schemas.
    pub async fn prepare(&mut self) -> Result<bool, ApplyError> {
        if !lock_rebuild(&mut self.owner).await? {
            let cause = "another rebuild of this database is at work; wait for its end, or stop it: then this one goes on where it was";
            return Err(ApplyError::Unavailable(cause.to_owned()));
        }
        if has_schema(&mut self.owner, NEXT_SCHEMA).await? {
            if is_of_this_version(&mut self.owner, NEXT_SCHEMA).await? {
                return Ok(false);
            }
            drop_schema(&mut self.owner, NEXT_SCHEMA).await?;
        }
        create_schema(&mut self.owner, NEXT_SCHEMA).await?;
        copy_dropped(&mut self.owner, LIVE_SCHEMA, NEXT_SCHEMA).await?;
        Ok(true)
    }

    /// Applies the whole journal to the new read model. `progress` is told how many events of how many were dealt with.
    ///
    /// # Errors
    /// When the database or the bucket is away; calling it again goes on.
    pub async fn replay(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Outcomes, ApplyError> {
        let begun: DateTime<Utc> = self.next.clock.now();
        let outcomes = self.next.replay(&Selection::default(), false, progress).await?;
        let mut connection = self.next.pool.acquire().await?;
        set_swept_upto(&mut connection, begun).await?;
        Ok(outcomes)
    }

    /// Compares both read models, and where `accepts` says so puts the new one in the old one's place, in the transaction in which they
    /// were compared. Tells what differs, and whether it was put there.
    ///
    /// # Errors
    /// When the database or the bucket is away, or the two do not come to have seen the same events.
    pub async fn finish(
        &mut self,
        accepts: impl Fn(&[Difference]) -> bool,
    ) -> Result<(Vec<Difference>, bool), ApplyError> {
        analyze(&mut self.owner, NEXT_SCHEMA).await?;
        for _ in 0..TRIES {
            let mut transaction = self.owner.begin().await?;
            lock_read_model(&mut transaction).await?;
            let late = missing_in(&mut transaction, LIVE_SCHEMA, NEXT_SCHEMA).await?;
            if !late.is_empty() {
                // The new one is ahead of the live one, which waits for the lock.
                transaction.rollback().await?;
                apply(&self.live, &late).await?;
                continue;
            }
            let late = missing_in(&mut transaction, NEXT_SCHEMA, LIVE_SCHEMA).await?;
            apply(&self.next, &late).await?;
            let differences = compare(&mut transaction, LIVE_SCHEMA, NEXT_SCHEMA).await?;
            if !accepts(&differences) {
                transaction.rollback().await?;
                return Ok((differences, false));
            }
            // Those that were given up while this was made.
            copy_dropped(&mut transaction, LIVE_SCHEMA, NEXT_SCHEMA).await?;
            drop_schema(&mut transaction, OLD_SCHEMA).await?;
            put_in_place(&mut transaction).await?;
            transaction.commit().await?;
            return Ok((differences, true));
        }
        let cause =
            format!("the end was tried {TRIES} times and projectors were always ahead; run it again, it goes on");
        Err(ApplyError::Unavailable(cause))
    }

    /// Removes the read model that was made and not put in place.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn discard(&mut self) -> Result<(), ApplyError> {
        Ok(drop_schema(&mut self.owner, NEXT_SCHEMA).await?)
    }

    /// Removes the read model whose place was taken.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn drop_old(&mut self) -> Result<(), ApplyError> {
        Ok(drop_schema(&mut self.owner, OLD_SCHEMA).await?)
    }
}

/// Swaps the two, as soon as no reader is in the way. What was compared stays true meanwhile: nobody else may write.
async fn put_in_place(transaction: &mut PgConnection) -> Result<(), ApplyError> {
    for _ in 0..TRIES {
        let mut attempt = transaction.begin().await?;
        match swap(&mut attempt, NEXT_SCHEMA, OLD_SCHEMA).await {
            Ok(()) => return Ok(attempt.commit().await?),
            Err(error) if is_lock_conflict(&error) => {
                tracing::warn!(%error, "readers are at work; the swap is tried again");
                attempt.rollback().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let cause = format!("the swap was tried {TRIES} times and readers were always at work; run it again, it goes on");
    Err(ApplyError::Unavailable(cause))
}

async fn apply(projector: &Projector, ids: &[EventId]) -> Result<(), ApplyError> {
    // Which part of the journal an event is in is not told by its id.
    let of_directory = if ids.is_empty() {
        Vec::new()
    } else {
        projector.bucket.list_directory_events().await?
    };
    let journal_of = |id: &EventId| match of_directory.binary_search(id) {
        Ok(_) => Journal::Directory,
        Err(_) => Journal::Uploads,
    };
    let events: Vec<(Journal, EventId)> = ids.iter().map(|id| (journal_of(id), *id)).collect();
    projector
        .apply_events(&events, &Selection::default(), false, &|_, _| {})
        .await?;
    Ok(())
}
