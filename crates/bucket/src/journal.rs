//! The journal has one object per event, which is never changed. Upload events are in folders by the hour in which their id was made, so
//! that the newest are found by listing a single folder. Past hours are also in segments, and what is listed and read is the union of both.
//! Directory events are in one folder, because they are few and always read together.

use std::str::FromStr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use schemas::{Event, EventId, EventType};

use crate::hours::folder_of;
use crate::segments::{Extent, Listed, check_complete};
use crate::{Bucket, Error, Hours};

pub(crate) const UPLOADS: &str = "events/uploads";
const DIRECTORY: &str = "events/directory";

/// The two parts of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// Uploads, files, observations of Airflow and what operators did.
    Uploads,
    /// Accounts, projects, environments, tokens and retention.
    Directory,
}

impl Journal {
    /// Returns the part that an event belongs to.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self::of_type(&event.kind)
    }

    /// Returns the part that events of a type such as `token.issued.v1` belong to. The first word of a type determines the part, so that it is
    /// known for the beginning of a type, such as `token.`, and for a type that only a later version knows.
    #[must_use]
    pub fn of_type(kind: &str) -> Self {
        use EventType as Type;
        match Type::named(kind) {
            Some(
                Type::ArtifactsUploaded
                | Type::FilesStored
                | Type::FileDeleted
                | Type::AirflowRunObserved
                | Type::DbtProjectRetired
                | Type::OperatorActed,
            ) => Self::Uploads,
            Some(
                Type::AccountRecorded
                | Type::ProjectRecorded
                | Type::EnvironmentRecorded
                | Type::ConnectionRecorded
                | Type::TokenIssued
                | Type::TokenRevoked
                | Type::RetentionPruned
                | Type::OperatorTokenIssued
                | Type::OperatorTokenRevoked,
            ) => Self::Directory,
            None => Self::of_first_word(kind),
        }
    }

    fn of_first_word(kind: &str) -> Self {
        let of_directory = ["directory.", "token.", "retention."];
        if of_directory.iter().any(|word| kind.starts_with(word)) {
            Self::Directory
        } else {
            Self::Uploads
        }
    }
}

impl Bucket {
    /// Puts an event into its part of the journal. This may be repeated: an existing event is not changed.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable or the id is not a UUIDv7.
    pub async fn put_event(&self, event: &Event) -> Result<(), Error> {
        let key = key(Journal::of(event), event.id)?;
        match event.to_json() {
            Ok(json) => self.create(&key, json.into()).await.map(drop),
            Err(error) => Err(Error::Input {
                key,
                source: error.into(),
            }),
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, the event is not found, the object is not this event, or the id is not a UUIDv7.
    pub async fn get_event(&self, journal: Journal, id: EventId) -> Result<Event, Error> {
        let key = key(journal, id)?;
        if let Some(event) = self.kept_event(journal, id).await {
            return Ok(event);
        }
        match self.read_single(&key, id).await {
            // It may have been packed and its single object deleted.
            Err(error) if journal == Journal::Uploads && !error.is_unavailable() => {
                match self.packed_event(id).await? {
                    Some(event) => Ok(event),
                    None => Err(error),
                }
            }
            result => result,
        }
    }

    async fn read_single(&self, key: &str, id: EventId) -> Result<Event, Error> {
        parse_event(key, id, &self.read(key).await?)
    }

    /// Reads the single object of an event, as it was written.
    pub(crate) async fn read_single_bytes(&self, id: EventId) -> Result<Bytes, Error> {
        let key = key(Journal::Uploads, id)?;
        let bytes = self.read(&key).await?;
        parse_event(&key, id, &bytes)?;
        Ok(bytes)
    }

    /// Lists the ids of the upload events made in the hour that contains `hour`, in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, or if a segment cannot be read some of whose single objects are missing.
    pub async fn list_events_of_hour(&self, hour: DateTime<Utc>) -> Result<Vec<EventId>, Error> {
        let ids = self.list_packed_and_single(&folder_of(hour), usize::MAX).await?;
        Ok(ids.unwrap_or_default())
    }

    /// Lists the ids of all directory events in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_directory_events(&self) -> Result<Vec<EventId>, Error> {
        Ok(self.list_ids(DIRECTORY, usize::MAX).await?.unwrap_or_default())
    }

    /// Lists the ids of all upload events in ascending order. They take 16 bytes each: [`Bucket::upload_events`] lists them in parts.
    ///
    /// # Errors
    /// Fails like [`Bucket::list_events_of_hour`].
    pub async fn list_upload_events(&self) -> Result<Vec<EventId>, Error> {
        let mut parts = self.upload_events(None, None);
        let mut ids = Vec::new();
        while let Some(part) = parts.try_next().await? {
            ids.extend(part.ids);
        }
        Ok(ids)
    }

    /// Returns the first hour with upload events, where a replay begins.
    ///
    /// # Errors
    /// Fails like [`Bucket::list_events_of_hour`].
    pub async fn first_hour(&self) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(Hours::forward(self).next().await?.map(|(hour, _)| hour))
    }

    /// Returns the hours with upload events, the newest first, from the hour that contains `to` back to the hour that contains `from`.
    #[must_use]
    pub fn hours_back(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Hours {
        Hours::back(self, from, to)
    }

    /// Lists the single objects under a folder such as `2026/11/23` or `2026/11/23/17`, and then its segments. An event that is packed and
    /// trimmed in between is in both. Returns none if there are more than `most` single objects.
    pub(crate) async fn list_folder(
        &self,
        folder: &str,
        most: usize,
    ) -> Result<Option<(Vec<EventId>, Vec<Listed>)>, Error> {
        let Some(single) = self.list_ids(&format!("{UPLOADS}/{folder}"), most).await? else {
            return Ok(None);
        };
        Ok(Some((single, self.list_segments(folder).await?)))
    }

    /// Lists the ids of the events under a folder in ascending order. Returns none if there may be more than `most`.
    pub(crate) async fn list_packed_and_single(
        &self,
        folder: &str,
        most: usize,
    ) -> Result<Option<Vec<EventId>>, Error> {
        let Some((mut ids, segments)) = self.list_folder(folder, most).await? else {
            return Ok(None);
        };
        if segments.iter().map(Listed::events).sum::<usize>() > most {
            return Ok(None);
        }
        if !segments.is_empty() {
            let opened = self.open_segments(&segments, Extent::Index).await?;
            ids.extend(opened.iter().flat_map(|segment| segment.ids()));
            ids.sort_unstable();
            ids.dedup();
            check_complete(&segments, &opened, &ids)?;
        }
        Ok(Some(ids))
    }

    /// Lists the ids in the names of the objects under a prefix, in ascending order. Returns none as soon as there are more than `most`.
    async fn list_ids(&self, prefix: &str, most: usize) -> Result<Option<Vec<EventId>>, Error> {
        let mut names = self.names(prefix);
        let mut ids: Vec<EventId> = Vec::new();
        while let Some(name) = names.try_next().await? {
            ids.extend(parse::<EventId>(name.strip_suffix(".json").unwrap_or(&name)));
            if ids.len() > most {
                return Ok(None);
            }
        }
        ids.sort_unstable();
        Ok(Some(ids))
    }
}

/// Parses an event that was read from this key.
pub(crate) fn parse_event(key: &str, id: EventId, bytes: &[u8]) -> Result<Event, Error> {
    let event = Event::from_json(bytes).map_err(|error| Error::corrupt(key, error))?;
    if event.id != id {
        return Err(Error::corrupt(
            key,
            format_args!("it contains the event `{}`", event.id),
        ));
    }
    Ok(event)
}

/// Parses a name. Foreign names are skipped with a warning.
pub(crate) fn parse<T: FromStr>(name: &str) -> Option<T> {
    let parsed = name.parse().ok();
    if parsed.is_none() {
        tracing::warn!(name, "the journal contains an object that is not an event");
    }
    parsed
}

pub(crate) fn key(journal: Journal, id: EventId) -> Result<String, Error> {
    match journal {
        Journal::Directory => Ok(format!("{DIRECTORY}/{id}.json")),
        Journal::Uploads => Ok(format!("{UPLOADS}/{}/{id}.json", hour_of(id)?)),
    }
}

/// The folder of the hour in which an event id was made.
pub(crate) fn hour_of(id: EventId) -> Result<String, Error> {
    made_at(id).map(folder_of).ok_or(Error::InvalidEventId(id))
}

/// Returns the time at which an event id was made, or `None` if it is not a UUIDv7.
#[must_use]
pub fn made_at(id: EventId) -> Option<DateTime<Utc>> {
    if id.0.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_each_event_type_names_its_journal() {
        for kind in EventType::ALL {
            let name = kind.name();
            assert_eq!(
                Journal::of_first_word(name),
                Journal::of_type(name),
                "`{name}`: earlier versions and `--type` go by the first word, so choose a type whose first word leads to the same journal"
            );
        }
    }
}
