//! Restores the numbers that clients see from the claims in the bucket.

use bucket::ClaimKind;
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::ids::{Numbers, record_id, unrecorded_ids};

use crate::placement::Owner;
use crate::{ApplyError, Projector};

/// The number of claims that are read at the same time.
const READ_AT_ONCE: usize = 32;

/// The number of claims that are recorded in one transaction.
const BATCH: usize = 1_000;

impl Projector {
    /// Records all numbers of jobs and runs that were ever assigned. It only saves time: each new number checks the claims anyway, but
    /// checking many of them one by one is slow. `progress` receives the number of recorded claims and the total.
    ///
    /// # Errors
    /// Returns an error if the database or the bucket is unavailable.
    pub async fn restore_ids(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<u64, ApplyError> {
        let mut missing = Vec::new();
        let mut connection = self.pool.acquire().await?;
        for (numbers, kind) in [(Numbers::Jobs, ClaimKind::Job), (Numbers::Runs, ClaimKind::Run)] {
            let claimed = self.bucket.list_claims(kind).await?;
            let unrecorded = unrecorded_ids(&mut connection, numbers, &claimed).await?;
            missing.extend(unrecorded.into_iter().map(|id| (numbers, kind, id)));
        }
        drop(connection);
        let total = missing.len() as u64;
        progress(0, total);
        for (done, batch) in (0_u64..).zip(missing.chunks(BATCH)) {
            let claims: Vec<(Numbers, i64, Owner)> = stream::iter(batch.iter().copied())
                .map(|(numbers, kind, id)| async move {
                    let owner = self.bucket.claim_owner(kind, id).await?;
                    Ok::<_, ApplyError>(Owner::read(owner, id)?.map(|owner| (numbers, id, owner)))
                })
                .buffer_unordered(READ_AT_ONCE)
                .try_filter_map(async |claim| Ok(claim))
                .try_collect()
                .await?;
            let mut transaction = self.pool.begin().await?;
            for (numbers, id, owner) in claims {
                let (account, environment) = (owner.account_id, owner.environment_id);
                record_id(
                    &mut transaction,
                    numbers,
                    id,
                    account,
                    environment,
                    &owner.key.to_string(),
                )
                .await?;
            }
            transaction.commit().await?;
            progress((done * BATCH as u64 + batch.len() as u64).min(total), total);
        }
        Ok(total)
    }
}
