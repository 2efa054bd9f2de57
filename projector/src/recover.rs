//! Restores the numbers that clients see from the claims in the bucket.

use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::ids::{NumberOwner, Numbers, record_segment, unrecorded_segments};

use crate::numbers::{claims_of, owners_of_claim};
use crate::{ApplyError, Projector};

/// The number of claims that are read at the same time.
const READ_AT_ONCE: usize = 32;

/// The number of claims that are recorded in one transaction.
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
            let unrecorded = unrecorded_segments(&mut connection, numbers, &claimed).await?;
            missing.extend(unrecorded.into_iter().map(|first| (numbers, first)));
        }
        drop(connection);
        let (total, mut restored) = (missing.len() as u64, 0);
        progress(0, total);
        for (done, batch) in (0_u64..).zip(missing.chunks(BATCH)) {
            let claims: Vec<(Numbers, i64, Vec<NumberOwner>)> = stream::iter(batch.iter().copied())
                .map(|(numbers, first)| async move {
                    let owners = self.bucket.segment_owners(claims_of(numbers), first).await?;
                    let owners = owners_of_claim(first, owners.unwrap_or_default())?;
                    Ok::<_, ApplyError>((numbers, first, owners))
                })
                .buffered(READ_AT_ONCE)
                .try_collect()
                .await?;
            let mut transaction = self.pool.begin().await?;
            for (numbers, first, owners) in claims {
                record_segment(&mut transaction, numbers, first, &owners).await?;
                restored += owners.len() as u64;
            }
            transaction.commit().await?;
            progress((done * BATCH as u64 + batch.len() as u64).min(total), total);
        }
        Ok(restored)
    }
}
