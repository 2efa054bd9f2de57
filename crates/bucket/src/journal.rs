//! The journal has one object per event, which is never changed. Upload events are in folders by the hour in which their id was made, so
//! that the newest are found by listing a single folder. Directory events are in one folder, because they are few and always read together.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use schemas::{Event, EventId, EventType};

use crate::{Bucket, Error};

const UPLOADS: &str = "events/uploads";
const DIRECTORY: &str = "events/directory";

/// The two parts of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// Uploads, files and observations of Airflow.
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
                | Type::DbtProjectRetired,
            ) => Self::Uploads,
            Some(
                Type::AccountRecorded
                | Type::ProjectRecorded
                | Type::EnvironmentRecorded
                | Type::ConnectionRecorded
                | Type::TokenIssued
                | Type::TokenRevoked
                | Type::RetentionPruned,
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
    pub async fn get_event(&self, place: Journal, id: EventId) -> Result<Event, Error> {
        let key = key(place, id)?;
        let bytes = self.read(&key).await?;
        let event = Event::from_json(&bytes).map_err(|error| Error::corrupt(&key, error))?;
        if event.id != id {
            return Err(Error::corrupt(
                &key,
                format_args!("it contains the event `{}`", event.id),
            ));
        }
        Ok(event)
    }

    /// Lists the ids of the upload events made in the hour that contains `hour`, in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_events_of_hour(&self, hour: DateTime<Utc>) -> Result<Vec<EventId>, Error> {
        self.list_events(&folder_of(hour)).await
    }

    /// Lists the ids of all directory events in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_directory_events(&self) -> Result<Vec<EventId>, Error> {
        self.list_events(DIRECTORY).await
    }

    /// Lists the ids of all upload events in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn list_upload_events(&self) -> Result<Vec<EventId>, Error> {
        self.list_events(UPLOADS).await
    }

    /// Returns the first hour with upload events, where a replay begins.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn first_hour(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let mut hours = Hours {
            newest_first: false,
            ..self.hours_back(None, None)
        };
        Ok(hours.next().await?.map(|(hour, _)| hour))
    }

    /// Returns the hours with upload events, the newest first, from the hour that contains `to` back to the hour that contains `from`.
    #[must_use]
    pub fn hours_back(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Hours {
        Hours {
            bucket: self.clone(),
            folders: vec![Vec::new()],
            newest_first: true,
            from: from.map(parts_of_hour),
            to: to.map(parts_of_hour),
        }
    }

    async fn list_events(&self, folder: &str) -> Result<Vec<EventId>, Error> {
        let names = self.list(folder).await?;
        let ids = names
            .iter()
            .filter_map(|name| parse(name.strip_suffix(".json").unwrap_or(name)));
        let mut ids: Vec<EventId> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// Iterates over hours of the journal.
pub struct Hours {
    bucket: Bucket,
    /// A stack of folders to visit: years, months, days and hours, each as the numbers in its path.
    folders: Vec<Vec<u32>>,
    newest_first: bool,
    from: Option<[u32; 4]>,
    to: Option<[u32; 4]>,
}

impl Hours {
    /// Returns the next hour and the ids of its events in ascending order.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable.
    pub async fn next(&mut self) -> Result<Option<(DateTime<Utc>, Vec<EventId>)>, Error> {
        // Depth first, because a local folder may be empty: it is created just before the object in it.
        while let Some(parts) = self.folders.pop() {
            if parts.len() == 4 {
                if let Some(hour) = hour_of_parts(&parts) {
                    let ids = self.bucket.list_events_of_hour(hour).await?;
                    if !ids.is_empty() {
                        return Ok(Some((hour, ids)));
                    }
                }
                continue;
            }
            let prefix = parts
                .iter()
                .fold(UPLOADS.to_owned(), |path, part| format!("{path}/{part:02}"));
            let names = self.bucket.list_folders(&prefix).await?;
            let numbers = names.iter().filter_map(|name| parse(name));
            let mut inner: Vec<Vec<u32>> = numbers
                .map(|number| [parts.as_slice(), &[number]].concat())
                .filter(|parts| self.may_hold(parts))
                .collect();
            inner.sort_unstable();
            if !self.newest_first {
                inner.reverse();
            }
            self.folders.extend(inner);
        }
        Ok(None)
    }

    fn may_hold(&self, parts: &[u32]) -> bool {
        self.from.is_none_or(|from| *parts >= from[..parts.len()])
            && self.to.is_none_or(|to| *parts <= to[..parts.len()])
    }
}

/// Parses a name. Foreign names are skipped with a warning.
fn parse<T: FromStr>(name: &str) -> Option<T> {
    let parsed = name.parse().ok();
    if parsed.is_none() {
        tracing::warn!(name, "the journal contains an object that is not an event");
    }
    parsed
}

fn key(place: Journal, id: EventId) -> Result<String, Error> {
    match place {
        Journal::Directory => Ok(format!("{DIRECTORY}/{id}.json")),
        Journal::Uploads => {
            let hour = made_at(id).ok_or(Error::InvalidEventId(id))?;
            Ok(format!("{}/{id}.json", folder_of(hour)))
        }
    }
}

fn folder_of(hour: DateTime<Utc>) -> String {
    format!("{UPLOADS}/{}", hour.format("%Y/%m/%d/%H"))
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

fn parts_of_hour(hour: DateTime<Utc>) -> [u32; 4] {
    let year = u32::try_from(hour.year()).unwrap_or(0);
    [year, hour.month(), hour.day(), hour.hour()]
}

fn hour_of_parts(parts: &[u32]) -> Option<DateTime<Utc>> {
    let &[year, month, day, hour] = parts else { return None };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_time(NaiveTime::default()).with_hour(hour)?.and_utc())
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
