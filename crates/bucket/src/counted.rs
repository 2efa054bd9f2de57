//! The last count of what waits, as `derived/counted.json`, so that it is known while PostgreSQL is down. It may be deleted.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Bucket, Error};

const KEY: &str = "derived/counted.json";

/// What waited at a time when PostgreSQL could say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When it was counted. Later events are not in it.
    pub at: DateTime<Utc>,
    /// The number of accepted events that were neither applied nor dead letters.
    pub waiting_events: u64,
    /// When the oldest of them was made.
    pub oldest_waiting: Option<DateTime<Utc>>,
}

impl Bucket {
    /// Writes a count in place of the one before.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn put_counted(&self, counted: &Counted) -> Result<(), Error> {
        let json = serde_json::to_vec(counted).map_err(|error| Error::corrupt(KEY, error))?;
        self.overwrite(KEY, Bytes::from(json)).await
    }

    /// Returns the last count, if there is one.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, or if the object has another form.
    pub async fn counted(&self) -> Result<Option<Counted>, Error> {
        match self.read(KEY).await {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::corrupt(KEY, error)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
