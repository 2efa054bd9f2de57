//! Uploads that were refused, as `refused/YYYY/MM/DD/HH/<process>.json`: one bounded object for each process and hour. They are for people who
//! look for a failed upload. Nothing else reads them, and they may be deleted.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use schemas::{AccountId, EnvironmentId, TokenId, TokenState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::hours::{folder_of, hour_of_parts};
use crate::{Bucket, Error};

const REFUSED: &str = "refused";

/// How long refused uploads are kept.
pub const REFUSED_KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// How many bytes of them are kept when old ones are removed, however many processes there were.
const MAX_KEPT: u64 = 1 << 30;

/// A refused upload of a known token. Texts of the client are shortened and have no characters that cannot be printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedUpload {
    /// When it was answered.
    pub time: DateTime<Utc>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The account of the token; none if it has several, and none of them has the environment.
    pub account_id: Option<AccountId>,
    /// The id of the token.
    pub token_id: TokenId,
    /// The token's name, if this service issued it.
    pub token_name: Option<String>,
    /// The state of the token when it was refused.
    pub token_state: TokenState,
    /// The environment that the client named, by its slug or number.
    pub environment: Option<String>,
    /// The number of this environment, retired or not, or else of the one that the token is bound to.
    pub environment_id: Option<EnvironmentId>,
    /// The file name that the client sent.
    pub file: Option<String>,
    /// How many bytes of the body came.
    pub size: u64,
    /// The message of the answer.
    pub reason: String,
    /// The address that the request came from.
    pub client: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The method and the route.
    pub route: String,
    /// The id of the request, as in the log.
    pub request_id: Option<String>,
}

/// The refused uploads of one process in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOfHour {
    /// How many more there were than are kept.
    pub not_kept: u64,
    /// How many of these each token had, as far as that was counted: the token that is refused most gives way to others.
    #[serde(default)]
    pub not_kept_of: BTreeMap<TokenId, u64>,
    /// In the order in which they were recorded.
    pub records: Vec<RefusedUpload>,
}

/// An object with refused uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedObject {
    /// The hour in which they were recorded, at most seconds after they were answered if the bucket answered.
    pub hour: DateTime<Utc>,
    /// The size in bytes.
    pub size: u64,
    key: String,
}

impl Bucket {
    /// Writes the refused uploads of a process in the hour that contains `hour`, a [`RefusedOfHour`] as JSON, in place of those it wrote before.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn put_refused(&self, hour: DateTime<Utc>, process: Uuid, json: Bytes) -> Result<(), Error> {
        let key = format!("{REFUSED}/{}/{process}.json", folder_of(hour));
        self.overwrite(&key, json).await
    }

    /// Lists the objects with refused uploads that were recorded in the hour of `from` or later, the newest hour first.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_refused(&self, from: Option<DateTime<Utc>>) -> Result<Vec<RefusedObject>, Error> {
        let listed = self.list_objects(REFUSED).await?;
        let from = from.map(folder_of);
        let objects = listed.into_iter().filter_map(|(key, size)| {
            let (folder, _) = key.strip_prefix(REFUSED)?.strip_prefix('/')?.rsplit_once('/')?;
            let parts: Option<Vec<u32>> = folder.split('/').map(|part| part.parse().ok()).collect();
            let hour = hour_of_parts(&parts?)?;
            let is_wanted = from.as_deref().is_none_or(|from| folder >= from);
            is_wanted.then_some(RefusedObject { hour, size, key })
        });
        let mut objects: Vec<_> = objects.collect();
        objects.sort_by(|one, other| (other.hour, &other.key).cmp(&(one.hour, &one.key)));
        Ok(objects)
    }

    /// Reads an object with refused uploads. Returns none if it was removed after it was listed.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, or if the object has another form.
    pub async fn read_refused(&self, object: &RefusedObject) -> Result<Option<RefusedOfHour>, Error> {
        match self.read(&object.key).await {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::corrupt(&object.key, error)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes refused uploads of hours before this time, and the oldest of the others if there are more than a gibibyte. Returns the number of
    /// removed objects.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn remove_refused(&self, before: DateTime<Utc>) -> Result<usize, Error> {
        let mut kept = 0;
        let objects = self.list_refused(None).await?.into_iter();
        let removed: Vec<String> = objects
            .filter(|object| {
                kept += object.size;
                object.hour < before || kept > MAX_KEPT
            })
            .map(|object| object.key)
            .collect();
        let count = removed.len();
        if count > 0 {
            self.delete(removed).await?;
        }
        Ok(count)
    }
}
