//! Claims of the ids that clients see. A claim `ids/<kind>/<n>.json` is created once and never changed, so that a number never means two
//! things, even if the database is lost.
//!
//! A claim of jobs or runs is a segment: `{"owners": […]}` with the owners of the numbers from `n` on. Earlier versions claimed these numbers
//! one by one, and all other numbers are still claimed so: then the object is the owner of the number `n`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::Created;
use crate::{Bucket, Error};

/// The kind of object that an id identifies. Each kind has its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimKind {
    /// Numbers of accounts, each claimed alone.
    Account,
    /// Numbers of projects, each claimed alone.
    Project,
    /// Numbers of environments, each claimed alone.
    Environment,
    /// Numbers of jobs, of which a claim takes several.
    Job,
    /// Numbers of runs, of which a claim takes several.
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

/// The outcome of claiming a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentClaim {
    /// The numbers belong to the owners that claimed them, now or since an earlier claim.
    Mine,
    /// The numbers from the first one on belong to these other owners.
    Taken(Vec<Value>),
}

/// The content of a claim.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Content {
    Segment { owners: Vec<Value> },
    Single(Value),
}

impl Content {
    fn into_owners(self) -> Vec<Value> {
        match self {
            Self::Segment { owners } => owners,
            Self::Single(owner) => vec![owner],
        }
    }
}

impl Bucket {
    /// Claims consecutive numbers from `first` on for these owners, in one object. If several claims begin at the same number concurrently,
    /// exactly one succeeds. Nothing prevents claims that overlap otherwise, so begin only after the end of the last claim.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable (the claim may or may not have been made, so repeat it), or if the existing claim is invalid.
    pub async fn claim_segment(&self, kind: ClaimKind, first: i64, owners: Vec<Value>) -> Result<SegmentClaim, Error> {
        let key = key(kind, first);
        let content = Content::Segment { owners };
        let json = serde_json::to_vec(&content).map_err(|error| Error::corrupt(&key, error))?;
        let owners = content.into_owners();
        if self.create(&key, json.into()).await? == Created::Now {
            return Ok(SegmentClaim::Mine);
        }
        let holders = self.read_owners(&key).await?;
        Ok(if holders == owners {
            SegmentClaim::Mine
        } else {
            SegmentClaim::Taken(holders)
        })
    }

    /// Returns the owners of the numbers from `first` on that were claimed together, if a claim begins at this number.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable or the claim is invalid.
    pub async fn segment_owners(&self, kind: ClaimKind, first: i64) -> Result<Option<Vec<Value>>, Error> {
        match self.read_owners(&key(kind, first)).await {
            Ok(owners) => Ok(Some(owners)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read_owners(&self, key: &str) -> Result<Vec<Value>, Error> {
        let bytes = self.read(key).await?;
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(key, error))?;
        let owners = content.into_owners();
        if owners.is_empty() {
            return Err(Error::corrupt(key, "it contains no owners"));
        }
        Ok(owners)
    }

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

    /// Lists the numbers at which claims of a kind begin, in ascending order.
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
