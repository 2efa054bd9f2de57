//! The journal: an object an event, never changed. Events of uploads lie in folders by the hour in which their id was made, so
//! that the newest are found by listing one folder; those of the directory lie in one folder, being few and read whole.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use schemas::{Event, EventId};

use crate::{Bucket, Error};

const UPLOADS: &str = "events/uploads";
const DIRECTORY: &str = "events/directory";

/// The two parts of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// Uploads, files and what Airflow told.
    Uploads,
    /// Accounts, projects, environments, tokens and retention.
    Directory,
}

impl Journal {
    /// The part that an event belongs to.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self::of_type(&event.kind)
    }

    /// The part that events of a type belong to, such as `token.issued.v1`.
    #[must_use]
    pub fn of_type(kind: &str) -> Self {
        let of_directory = ["directory.", "token.", "retention."];
        if of_directory.iter().any(|prefix| kind.starts_with(prefix)) {
            Self::Directory
        } else {
            Self::Uploads
        }
    }
}

impl Bucket {
    /// Puts an event into its part of the journal. May be repeated: an event that is there stays as it is.
    ///
    /// # Errors
    /// Unavailable; or an id that is not a UUIDv7.
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

    /// An event.
    ///
    /// # Errors
    /// Unavailable; not found; corrupt when what is there is not that event; or an id that is not a UUIDv7.
    pub async fn get_event(&self, place: Journal, id: EventId) -> Result<Event, Error> {
        let key = key(place, id)?;
        let bytes = self.read(&key).await?;
        let event = Event::from_json(&bytes).map_err(|error| Error::corrupt(&key, error))?;
        if event.id != id {
            return Err(Error::corrupt(&key, format_args!("it holds the event `{}`", event.id)));
        }
        Ok(event)
    }

    /// The ids of the events of uploads made in the hour that `hour` falls in, ascending.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn list_events_of_hour(&self, hour: DateTime<Utc>) -> Result<Vec<EventId>, Error> {
        self.list_events(&folder_of(hour)).await
    }

    /// The ids of all events of the directory, ascending.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn list_directory_events(&self) -> Result<Vec<EventId>, Error> {
        self.list_events(DIRECTORY).await
    }

    /// The ids of all events of uploads, ascending.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn list_upload_events(&self) -> Result<Vec<EventId>, Error> {
        self.list_events(UPLOADS).await
    }

    /// The first hour that the journal holds events of uploads of: where a replay begins.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn first_hour(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let mut hours = Hours {
            newest_first: false,
            ..self.hours_back(None, None)
        };
        Ok(hours.next().await?.map(|(hour, _)| hour))
    }

    /// The hours that the journal holds events of uploads of, the newest first, from the one that `to` falls in to the one that `from` does.
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

/// Hours of the journal, looked for one after the other.
pub struct Hours {
    bucket: Bucket,
    /// What is yet to be looked into, the next last: years, months, days and hours, each by the numbers of its path.
    folders: Vec<Vec<u32>>,
    newest_first: bool,
    from: Option<[u32; 4]>,
    to: Option<[u32; 4]>,
}

impl Hours {
    /// The next hour, and the ids of its events, ascending.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn next(&mut self) -> Result<Option<(DateTime<Utc>, Vec<EventId>)>, Error> {
        // Depth first, since a local folder may be left empty: it is made just before the object in it.
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

/// What the journal did not put there is passed over, but not in silence.
fn parse<T: FromStr>(name: &str) -> Option<T> {
    let parsed = name.parse().ok();
    if parsed.is_none() {
        tracing::warn!(name, "the journal holds something that is no event");
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

/// When the id of an event was made; none: it is no UUIDv7.
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
