//! The numbers of jobs and runs. The claims in the bucket decide, so that a database that was lost, or restored from an old backup, never
//! assigns a number twice.

use std::collections::{HashMap, HashSet};

use bucket::{Bucket, ClaimKind, SegmentClaim};
use read_model::ids::{
    NumberOwner, Numbers, RunKey, Segment, first_of_segment, last_number, lock_ids, numbers_of, record_segments,
};
use read_model::journal::unlimit_lock_waits;
use schemas::{AccountId, EnvironmentId, JobId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use crate::ApplyError;
use crate::lock_waits::LockWaits;

/// The owner of a number, as a claim in the bucket records it.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    account_id: AccountId,
    environment_id: EnvironmentId,
    key: Value,
}

/// Converts the owners in a claim. An invalid claim is not the fault of the events. They wait until it is repaired.
pub(crate) fn owners_of_claim(first: i64, owners: Vec<Value>) -> Result<Vec<NumberOwner>, ApplyError> {
    let owners = (first..).zip(owners).map(|(number, owner)| {
        let owner: Owner = serde_json::from_value(owner).map_err(|error| {
            ApplyError::Unavailable(format!(
                "invalid claim of number {number}: {error}; repair it in the bucket"
            ))
        })?;
        Ok(NumberOwner {
            account: owner.account_id,
            environment: owner.environment_id,
            key: owner.key.to_string(),
        })
    });
    owners.collect()
}

fn claim_of(owner: &NumberOwner) -> Result<Value, ApplyError> {
    let rejected = |error: serde_json::Error| ApplyError::Rejected(error.to_string());
    serde_json::to_value(Owner {
        account_id: owner.account,
        environment_id: owner.environment,
        key: serde_json::from_str(&owner.key).map_err(rejected)?,
    })
    .map_err(rejected)
}

/// Returns the kind of claims of these numbers.
pub(crate) fn claims_of(numbers: Numbers) -> ClaimKind {
    match numbers {
        Numbers::Jobs => ClaimKind::Job,
        Numbers::Runs => ClaimKind::Run,
    }
}

/// A run and its environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunOfAccount {
    pub(crate) account: AccountId,
    pub(crate) environment: EnvironmentId,
    pub(crate) key: RunKey,
}

impl RunOfAccount {
    /// The owner of the run's number.
    pub(crate) fn number_owner(&self) -> Result<NumberOwner, ApplyError> {
        self.owner(&self.key)
    }

    fn owner<K: Serialize>(&self, key: &K) -> Result<NumberOwner, ApplyError> {
        // The text is made from a `Value`, whose fields are sorted, as the keys of earlier runs were.
        let key = serde_json::to_value(key).map_err(|error| ApplyError::Rejected(error.to_string()))?;
        Ok(NumberOwner {
            account: self.account,
            environment: self.environment,
            key: key.to_string(),
        })
    }
}

/// Returns the numbers of runs and of their jobs. New numbers are assigned in the order of the runs. The lock on numbers, which all accounts
/// share, is then held until the transaction ends, so that numbers become visible in their order. Call it as late as possible.
pub(crate) async fn numbers_of_runs(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    runs: &[RunOfAccount],
    waits: LockWaits,
) -> Result<HashMap<RunOfAccount, (RunId, JobId)>, ApplyError> {
    let mut jobs_of_runs = Vec::with_capacity(runs.len());
    let mut owners_of_runs = Vec::with_capacity(runs.len());
    for run in runs {
        jobs_of_runs.push(run.owner(&run.key.job())?);
        owners_of_runs.push(run.number_owner()?);
    }
    let jobs = assign(transaction, bucket, Numbers::Jobs, &jobs_of_runs, waits).await?;
    let numbers = assign(transaction, bucket, Numbers::Runs, &owners_of_runs, waits).await?;
    let all = runs.iter().zip(jobs_of_runs.iter().zip(&owners_of_runs));
    Ok(all
        .filter_map(|(run, (job, owner))| Some((run.clone(), (RunId(*numbers.get(owner)?), JobId(*jobs.get(job)?)))))
        .collect())
}

async fn assign(
    transaction: &mut PgConnection,
    bucket: &Bucket,
    numbers: Numbers,
    owners: &[NumberOwner],
    waits: LockWaits,
) -> Result<HashMap<NumberOwner, i64>, ApplyError> {
    let mut known = numbers_of(transaction, numbers, owners).await?;
    let mut missing = without(owners, &known);
    if missing.is_empty() {
        return Ok(known);
    }
    if waits == LockWaits::Limited {
        // Splitting the batch would not help.
        unlimit_lock_waits(transaction).await?;
    }
    lock_ids(transaction).await.map_err(ApplyError::of_common_lock)?;
    let mut first = next_number(transaction, bucket, numbers).await?;
    // Others may have recorded them before the lock was free, or they were lost and are recorded again.
    known.extend(numbers_of(transaction, numbers, &missing).await?);
    missing = without(&missing, &known);
    while !missing.is_empty() {
        let claims = missing.iter().map(claim_of).collect::<Result<Vec<_>, _>>()?;
        let claimed = bucket.claim_segment(claims_of(numbers), first, claims).await;
        let taken = match claimed.map_err(|error| no_claim(&error))? {
            SegmentClaim::Mine => missing.clone(),
            SegmentClaim::Taken(others) => owners_of_claim(first, others)?,
        };
        let segment = Segment { first, owners: taken };
        record_segments(transaction, numbers, std::slice::from_ref(&segment)).await?;
        // An earlier attempt may have claimed numbers for the same owners before it failed.
        let wanted: HashMap<&NumberOwner, i64> = segment.owners.iter().zip(first..).collect();
        known.extend(
            missing
                .iter()
                .filter_map(|owner| Some((owner.clone(), *wanted.get(owner)?))),
        );
        missing = without(&missing, &known);
        first += i64::try_from(segment.owners.len()).unwrap_or(i64::MAX);
    }
    Ok(known)
}

/// Why a claim cannot be made or read. Even if it is damaged, the events wait, because all new runs need it.
fn no_claim(error: &bucket::Error) -> ApplyError {
    ApplyError::Unavailable(format!("the bucket: {error}"))
}

/// Returns the owners that have no number yet, each once.
fn without(owners: &[NumberOwner], known: &HashMap<NumberOwner, i64>) -> Vec<NumberOwner> {
    let mut seen = HashSet::new();
    let missing = owners.iter().filter(|owner| !known.contains_key(owner));
    missing.filter(|owner| seen.insert(*owner)).cloned().collect()
}

/// Returns the number after the last recorded segment, where the next claim begins.
///
/// Usually nothing has to be read from the bucket. If rows were lost, which the recorded segments show, the claims are read again from the
/// first that may be missing: a claim must never begin in the middle of another.
async fn next_number(transaction: &mut PgConnection, bucket: &Bucket, numbers: Numbers) -> Result<i64, ApplyError> {
    let recorded = last_number(transaction, numbers).await?;
    if recorded.last == recorded.last_of_segments {
        return Ok(recorded.last + 1);
    }
    let lost = recorded.last.min(recorded.last_of_segments) + 1;
    let mut first = first_of_segment(transaction, numbers, lost).await?.unwrap_or(lost);
    tracing::warn!(kind = ?numbers, first, "numbers that were assigned are not recorded; reading their claims again");
    loop {
        let claimed = bucket.segment_owners(claims_of(numbers), first).await;
        let Some(owners) = claimed.map_err(|error| no_claim(&error))? else {
            break;
        };
        let owners = owners_of_claim(first, owners)?;
        let segment = Segment { first, owners };
        record_segments(transaction, numbers, std::slice::from_ref(&segment)).await?;
        first += i64::try_from(segment.owners.len()).unwrap_or(i64::MAX);
    }
    let after_recorded = recorded.last.max(recorded.last_of_segments) + 1;
    if first < after_recorded {
        tracing::error!(kind = ?numbers, from = first, to = after_recorded, "claims of numbers that were assigned are missing in the bucket");
    }
    Ok(first.max(after_recorded))
}
