//! Packs past hours of the journal, and removes old refused uploads and what killed processes left in a local bucket, in the background.

use std::time::Duration;

use bucket::{ABANDONED_AFTER, PACKED_AFTER, Packed, REFUSED_KEPT_FOR};
use read_model::pack::lock_packing;
use tokio_util::sync::CancellationToken;

use crate::{ApplyError, Projector};

/// The pause before the first time, in which the process does what is more urgent.
const FIRST: Duration = Duration::from_secs(10 * 60);

/// The pause between two times.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(60 * 60);

/// Packs regularly until the shutdown. It may be interrupted at any moment, because a segment is written at once or not at all.
pub(crate) async fn run(projector: &Projector, shutdown: &CancellationToken) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = projector.pack() => result,
        };
        match projector
            .bucket
            .remove_leftovers(projector.clock.now() - ABANDONED_AFTER)
            .await
        {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed files that killed processes left in the bucket"),
            Err(error) => tracing::warn!(%error, "cannot remove what killed processes left in the bucket"),
        }
        match projector
            .bucket
            .remove_refused(projector.clock.now() - REFUSED_KEPT_FOR)
            .await
        {
            Ok(0) => {}
            Ok(objects) => tracing::info!(objects, "removed old records of refused uploads"),
            Err(error) => tracing::warn!(%error, "cannot remove old records of refused uploads"),
        }
        pause = match result {
            Ok(packed) => {
                if let Some(Packed { segments, events, .. }) = packed.filter(|packed| packed.segments > 0) {
                    tracing::info!(segments, events, "packed past hours of the journal");
                }
                INTERVAL
            }
            Err(error) => {
                tracing::warn!(%error, "packing the journal did not finish; it continues in an hour");
                AFTER_FAILURE
            }
        };
    }
}

impl Projector {
    /// Packs the hours of the journal that are old enough, as [`bucket::Bucket::pack_new`] does. Returns none if another projector is packing.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable, or if the journal is damaged.
    pub async fn pack(&self) -> Result<Option<Packed>, ApplyError> {
        // It holds only the lock, not a snapshot, so it disturbs nobody however long it lasts. Should it be lost, two projectors pack the same.
        let mut transaction = self.pool.begin().await?;
        if !lock_packing(&mut transaction).await? {
            return Ok(None);
        }
        let packed = self.bucket.pack_new(self.clock.now() - PACKED_AFTER).await?;
        // A transaction that is only dropped ends some time later, and holds its lock until then.
        transaction.rollback().await?;
        Ok(Some(packed))
    }
}
