//! Restores the numbers that clients see from the claims in the bucket.

use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::ids::{Numbers, Segment, record_segments, unrecorded_segments};

use crate::numbers::{claims_of, owners_of_claim};
use crate::{ApplyError, Projector};

/// The number of claims that are read at the same time.
const READ_AT_ONCE: usize = 32;

/// The number of claims that are recorded with one statement.
const BATCH: usize = 1_000;

impl Projector {
    /// Records all numbers of jobs and runs that were ever assigned. It only saves time: each new number checks the claims anyway, but
    /// checking many of them one by one is slow. `progress` receives the number of claims that were read and the total; a claim has one or
    /// more numbers. Returns how many numbers the claims have.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable.
    pub async fn restore_ids(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<u64, ApplyError> {
        let mut missing = Vec::new();
        let mut connection = self.pool.acquire().await?;
        for numbers in [Numbers::Jobs, Numbers::Runs] {
            let claimed = self.bucket.list_claims(claims_of(numbers)).await?;
            missing.push((numbers, unrecorded_segments(&mut connection, numbers, &claimed).await?));
        }
        drop(connection);
        let total = missing.iter().map(|(_, firsts)| firsts.len() as u64).sum();
        let (mut done, mut restored) = (0, 0);
        progress(done, total);
        for (numbers, firsts) in missing {
            for batch in firsts.chunks(BATCH) {
                let segments: Vec<Segment> = stream::iter(batch.iter().copied())
                    .map(|first| async move {
                        let owners = self.bucket.segment_owners(claims_of(numbers), first).await?;
                        let owners = owners_of_claim(first, owners.unwrap_or_default())?;
                        Ok::<_, ApplyError>(Segment { first, owners })
                    })
                    .buffered(READ_AT_ONCE)
                    .try_collect()
                    .await?;
                let mut connection = self.pool.acquire().await?;
                record_segments(&mut connection, numbers, &segments).await?;
                restored += segments.iter().map(|segment| segment.owners.len() as u64).sum::<u64>();
                done += batch.len() as u64;
                progress(done, total);
            }
        }
        Ok(restored)
    }
}
