//! Rebuilds the read model from the journal next to the one in use, and replaces that one.
//!
//! Uploads, live events and readers continue meanwhile. Only the comparison at the end makes live events wait, so that both read models
//! contain the same events.

use std::time::Duration;

use bucket::Journal;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use read_model::compare::{Difference, compare};
use read_model::journal::set_swept_upto;
use read_model::rebuild::{
    copy_dropped, create_schema, drop_schema, end_help, has_events, has_schema, is_lock_conflict, is_of_this_version,
    join_rebuild, lock_read_model, lock_rebuild, missing_in, swap, try_end_help,
};
use read_model::statistics;
use schemas::EventId;
use sqlx::{Connection, PgConnection};

use crate::selection::Found;
use crate::{ApplyError, Outcomes, Projector, Selection};

/// The schema in which the new read model is built.
pub const NEXT_SCHEMA: &str = "read_model_next";

/// The schema in which the old read model is kept after the swap.
pub const OLD_SCHEMA: &str = "read_model_old";

const LIVE_SCHEMA: &str = "read_model";

/// The number of attempts to finish. Projectors may be applying other events.
const TRIES: usize = 20;

/// The number of attempts to swap, each of less than a second. A reader may take twenty seconds.
const SWAP_TRIES: usize = 60;

/// The time between two attempts to swap, in which readers continue.
const SWAP_PAUSE: Duration = Duration::from_millis(300);

/// How a rebuild begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The tables of the new read model are empty.
    New,
    /// An interrupted rebuild is continued.
    Continued,
    /// Another process rebuilds. This one only helps it to apply events.
    Joined,
}

/// A rebuild of the read model.
pub struct Rebuild {
    /// Writes to the read model in use.
    pub live: Projector,
    /// Writes to the new read model.
    pub next: Projector,
    /// A connection as the owner of the database, with PostgreSQL's default search path.
    pub owner: PgConnection,
}

impl Rebuild {
    /// Creates the tables of the new read model, continues an interrupted rebuild of the same version, or joins the one that is running. No
    /// other rebuild can run while the owner's connection lives.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable, a rebuild is running that cannot be joined, or the user may not create schemas.
    pub async fn prepare(&mut self, may_join: bool) -> Result<Begun, ApplyError> {
        if !lock_rebuild(&mut self.owner).await? {
            if may_join && self.can_join().await? {
                return Ok(Begun::Joined);
            }
            let cause = "another rebuild of this database is running: run `dbt-api rebuild` of the same version without options to help it before it compares the read models, or wait until it ends";
            return Err(ApplyError::Unavailable(cause.to_owned()));
        }
        if has_schema(&mut self.owner, NEXT_SCHEMA).await? {
            if is_of_this_version(&mut self.owner, NEXT_SCHEMA).await? {
                return Ok(Begun::Continued);
            }
            // Those who helped the interrupted rebuild are of the other version.
            end_help(&mut self.owner).await?;
            drop_schema(&mut self.owner, NEXT_SCHEMA).await?;
        }
        create_schema(&mut self.owner, NEXT_SCHEMA).await?;
        copy_dropped(&mut self.owner, LIVE_SCHEMA, NEXT_SCHEMA).await?;
        Ok(Begun::New)
    }

    async fn can_join(&mut self) -> Result<bool, ApplyError> {
        // The tables stay as they are while this process helps, so they are looked at afterwards.
        Ok(join_rebuild(&mut self.owner).await?
            && has_schema(&mut self.owner, NEXT_SCHEMA).await?
            && is_of_this_version(&mut self.owner, NEXT_SCHEMA).await?)
    }

    /// Applies the whole journal to the new read model. `progress` receives the number of processed events and the total, as in
    /// [`Projector::replay`].
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable. Calling it again continues the work.
    pub async fn replay(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Outcomes, ApplyError> {
        let begun: DateTime<Utc> = self.next.clock.now();
        let outcomes = self.help(progress).await?;
        let mut connection = self.next.pool.acquire().await?;
        set_swept_upto(&mut connection, begun).await?;
        Ok(outcomes)
    }

    /// Applies the events of the journal that nobody else is applying, for a rebuild that was joined.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Rebuild::replay`].
    pub async fn help(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Outcomes, ApplyError> {
        self.next.replay(&Selection::default(), false, progress).await
    }

    /// Whether the rebuild that this process joined has no other process any more, which ended before the comparison. Then this one has to finish
    /// it.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub async fn is_left_alone(&mut self) -> Result<bool, ApplyError> {
        Ok(lock_rebuild(&mut self.owner).await?)
    }

    /// Compares both read models. If `accepts` returns true, replaces the old one by the new one in the same transaction. Returns the
    /// differences, and whether the read model was replaced.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable, or if the two read models never reach the same events.
    pub async fn finish(
        &mut self,
        accepts: impl Fn(&[Difference]) -> bool,
    ) -> Result<(Vec<Difference>, bool), ApplyError> {
        // A projector that helps would apply events that only one of the two read models has.
        if !try_end_help(&mut self.owner).await? {
            tracing::warn!("waiting until the processes that help have applied their last events");
            end_help(&mut self.owner).await?;
        }
        if has_events(&mut self.owner, LIVE_SCHEMA).await? && !has_events(&mut self.owner, NEXT_SCHEMA).await? {
            let cause = "the new read model contains no events, although the current one does: it is not put in place; check that the settings name the right bucket";
            return Err(ApplyError::Unavailable(cause.to_owned()));
        }
        statistics::analyze(&mut self.owner, NEXT_SCHEMA).await?;
        for _ in 0..TRIES {
            let mut transaction = self.owner.begin().await?;
            lock_read_model(&mut transaction).await?;
            let late = missing_in(&mut transaction, LIVE_SCHEMA, NEXT_SCHEMA).await?;
            if !late.is_empty() {
                // The new read model is ahead of the live one, whose projectors wait for the lock.
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
            // These dead letters were dropped during the rebuild.
            copy_dropped(&mut transaction, LIVE_SCHEMA, NEXT_SCHEMA).await?;
            drop_schema(&mut transaction, OLD_SCHEMA).await?;
            put_in_place(&mut transaction).await?;
            transaction.commit().await?;
            return Ok((differences, true));
        }
        let cause = format!(
            "could not finish in {TRIES} attempts because projectors were always ahead: run the rebuild again to continue"
        );
        Err(ApplyError::Unavailable(cause))
    }

    /// Removes the new read model if it was not put in place.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub async fn discard(&mut self) -> Result<(), ApplyError> {
        Ok(drop_schema(&mut self.owner, NEXT_SCHEMA).await?)
    }

    /// Removes the read model that was replaced.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub async fn drop_old(&mut self) -> Result<(), ApplyError> {
        Ok(drop_schema(&mut self.owner, OLD_SCHEMA).await?)
    }
}

/// Swaps the two read models as soon as no reader blocks it. The comparison remains valid meanwhile, since nobody else may write.
async fn put_in_place(transaction: &mut PgConnection) -> Result<(), ApplyError> {
    for _ in 0..SWAP_TRIES {
        let mut attempt = transaction.begin().await?;
        match swap(&mut attempt, NEXT_SCHEMA, OLD_SCHEMA).await {
            Ok(()) => return Ok(attempt.commit().await?),
            Err(error) if is_lock_conflict(&error) => {
                tracing::warn!(%error, "readers block the swap; trying again");
                attempt.rollback().await?;
                tokio::time::sleep(SWAP_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let cause =
        format!("could not swap in {SWAP_TRIES} attempts because of readers: run the rebuild again to continue");
    Err(ApplyError::Unavailable(cause))
}

async fn apply(projector: &Projector, ids: &[EventId]) -> Result<(), ApplyError> {
    // The id does not show which part of the journal contains the event.
    let of_directory = if ids.is_empty() {
        Vec::new()
    } else {
        projector.bucket.list_directory_events().await?
    };
    let is_of_directory = |id: &EventId| of_directory.binary_search(id).is_ok();
    let (directory, uploads): (Vec<EventId>, Vec<EventId>) = ids.iter().copied().partition(is_of_directory);
    let found = [
        Found::of(Journal::Directory, directory),
        Found::of(Journal::Uploads, uploads),
    ];
    let found = stream::iter(found).map(Ok).boxed();
    projector
        .apply_found(found, &Selection::default(), false, &|_, _| {})
        .await?;
    Ok(())
}
