//! Claims of the ids that clients see. A claim `ids/<kind>/<n>.json` is created once and never changed, so that a number never means two
//! things, even if the database is lost.

use serde_json::Value;

use crate::store::Created;
use crate::{Bucket, Error};

/// The kind of object that an id identifies. Each kind has its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimKind {
    /// An account.
    Account,
    /// A project.
    Project,
    /// An environment.
    Environment,
    /// A job.
    Job,
    /// A run.
    Run,
}

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The number belongs to the owner that claimed it, now or since an earlier claim.
    Mine,
    /// The number belongs to this other owner.
    Taken(Value),
}

impl Bucket {
    /// Claims the number `n` for `owner`. If several owners claim it concurrently, exactly one succeeds.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable (the claim may or may not have been made, so repeat it), or if the existing claim is not JSON.
    pub async fn claim(&self, kind: ClaimKind, n: i64, owner: &Value) -> Result<Claim, Error> {
        let key = key(kind, n);
        if self.create(&key, owner.to_string().into()).await? == Created::Now {
            return Ok(Claim::Mine);
        }
        let holder = self.read_claim(&key).await?;
        Ok(if holder == *owner {
            Claim::Mine
        } else {
            Claim::Taken(holder)
        })
    }

    /// Returns the owner of the number `n`, if it is claimed.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable or the claim is not JSON.
    pub async fn claim_owner(&self, kind: ClaimKind, n: i64) -> Result<Option<Value>, Error> {
        match self.read_claim(&key(kind, n)).await {
            Ok(owner) => Ok(Some(owner)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists all claimed numbers of a kind in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_claims(&self, kind: ClaimKind) -> Result<Vec<i64>, Error> {
        let names = self.list(&format!("ids/{}", folder(kind))).await?;
        let numbers = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn read_claim(&self, key: &str) -> Result<Value, Error> {
        let bytes = self.read(key).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(key, error))
    }
}

fn key(kind: ClaimKind, n: i64) -> String {
    format!("ids/{}/{n}.json", folder(kind))
}

fn folder(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Account => "accounts",
        ClaimKind::Project => "projects",
        ClaimKind::Environment => "environments",
        ClaimKind::Job => "jobs",
        ClaimKind::Run => "runs",
    }
}
