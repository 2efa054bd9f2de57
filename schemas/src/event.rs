//! The journal's events: a CloudEvents envelope and what each type of event says.

mod data;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use data::*;

use crate::{AccountId, EventId};

/// The envelope of every event: the attributes of CloudEvents 1.0 (the CNCF's specification, JSON format) and the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The version of CloudEvents: `1.0`.
    pub specversion: String,
    /// Also the `Nats-Msg-Id` and the name of the journal's object.
    pub id: EventId,
    /// Which program made it.
    pub source: String,
    /// The type with its version, for example `dbt.artifacts.uploaded.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was accepted, by the clock of the process that accepted it.
    pub time: DateTime<Utc>,
    /// Whom it is about: `accounts/<account id>`.
    pub subject: String,
    /// `application/json`.
    pub datacontenttype: String,
    /// The JSON Schema of `data`, relative to the repository.
    pub dataschema: String,
    /// As [`Event::data`] reads it.
    pub data: Box<RawValue>,
}

/// An event that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// Its type is not known to this version.
    #[error(
        "events of type `{0}` are not known to this version; upgrade dbt-api, then run `dbt-api dead-letters retry`"
    )]
    UnknownType(String),
    /// The data does not have the shape that its type demands.
    #[error("the data of an event of type `{kind}` cannot be read: {source}")]
    Data {
        /// The event's type.
        kind: String,
        /// Which field, and why.
        source: serde_json::Error,
    },
    /// The envelope itself is broken.
    #[error("not an event: {0}")]
    Envelope(#[from] serde_json::Error),
}

impl Event {
    /// An event that says this.
    ///
    /// # Errors
    /// When the data cannot be written as JSON, which none of [`EventData`] causes.
    pub fn new(id: EventId, time: DateTime<Utc>, data: &EventData) -> Result<Self, serde_json::Error> {
        let kind = data.kind();
        Ok(Self {
            specversion: "1.0".to_owned(),
            id,
            source: "dbt-api".to_owned(),
            kind: kind.to_owned(),
            time,
            subject: format!("accounts/{}", data.account_id()),
            datacontenttype: "application/json".to_owned(),
            dataschema: format!("schemas/json/{kind}.json"),
            data: data.to_raw()?,
        })
    }

    /// What the event says.
    ///
    /// # Errors
    /// When its type is unknown or the data does not fit it.
    pub fn data(&self) -> Result<EventData, InvalidEvent> {
        EventData::read(&self.kind, &self.data)
    }

    /// Reads an event as the journal and the stream hold it.
    ///
    /// # Errors
    /// When it is no event.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidEvent> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Writes the event as the journal and the stream hold it.
    ///
    /// # Errors
    /// As [`Event::new`].
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

macro_rules! event_data {
    ($($(#[$doc:meta])* $name:ident = $kind:literal),* $(,)?) => {
        /// What the types of events say.
        #[derive(Clone, Debug, PartialEq)]
        pub enum EventData {
            $($(#[$doc])* $name($name),)*
        }

        impl EventData {
            /// The types of all events.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// The type with its version.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// The account that it is about.
            #[must_use]
            pub fn account_id(&self) -> AccountId {
                match self { $(Self::$name(data) => data.account_id,)* }
            }

            fn to_raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
                match self { $(Self::$name(data) => serde_json::value::to_raw_value(data),)* }
            }

            fn read(kind: &str, data: &RawValue) -> Result<Self, InvalidEvent> {
                let result = match kind {
                    $($kind => serde_json::from_str(data.get()).map(Self::$name),)*
                    unknown => return Err(InvalidEvent::UnknownType(unknown.to_owned())),
                };
                result.map_err(|source| InvalidEvent::Data { kind: kind.to_owned(), source })
            }

            /// The JSON Schema of each type's data.
            #[must_use]
            pub fn json_schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($kind, schemars::schema_for!($name))),*]
            }
        }

        $(impl From<$name> for EventData {
            fn from(data: $name) -> Self { Self::$name(data) }
        })*
    };
}

event_data! {
    /// Files were uploaded that are artifacts of dbt, or belong to them.
    ArtifactsUploaded = "dbt.artifacts.uploaded.v1",
    /// Files were stored, or new versions of files.
    FilesStored = "dbt.files.stored.v1",
    /// Files were deleted.
    FileDeleted = "dbt.file.deleted.v1",
    /// An account was made or changed.
    AccountRecorded = "directory.account.recorded.v1",
    /// A project was made or changed.
    ProjectRecorded = "directory.project.recorded.v1",
    /// An environment was made or changed.
    EnvironmentRecorded = "directory.environment.recorded.v1",
    /// A token was made.
    TokenIssued = "token.issued.v1",
    /// A token was deleted.
    TokenRevoked = "token.revoked.v1",
    /// Airflow was asked and told of a DAG run.
    AirflowRunObserved = "airflow.run.observed.v1",
    /// Old runs were removed from the read model.
    RetentionPruned = "retention.pruned.v1",
    /// A dbt project was taken out of an environment.
    DbtProjectRetired = "dbt.project.retired.v1",
}

/// For the JSON Schema of the envelope; `data` is described by the schema of the event's type.
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "only its schema is used: RawValue has none")]
struct EventSchema {
    specversion: String,
    id: EventId,
    source: String,
    #[schemars(rename = "type")]
    kind: String,
    time: DateTime<Utc>,
    subject: String,
    datacontenttype: String,
    dataschema: String,
    data: serde_json::Value,
}

/// The committed files under `schemas/json/`: name and content.
#[must_use]
pub fn json_schema_files() -> Vec<(String, String)> {
    let mut schemas = EventData::json_schemas();
    schemas.push(("event", schemars::schema_for!(EventSchema)));
    schemas
        .into_iter()
        .map(|(name, schema)| (format!("{name}.json"), format!("{:#}\n", schema.as_value())))
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn event() -> Event {
        let data = AccountRecorded {
            account_id: AccountId(1),
            name: "Example".to_owned(),
            slug: None,
            state: RecordState::Active,
        };
        let time = Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap();
        Event::new(EventId(uuid::Uuid::nil()), time, &data.into()).unwrap()
    }

    #[test]
    fn an_event_survives_its_json() {
        let event = event();
        let again = Event::from_json(&event.to_json().unwrap()).unwrap();
        assert_eq!(again.data().unwrap(), event.data().unwrap());
        assert_eq!(again.kind, "directory.account.recorded.v1");
        assert_eq!(again.subject, "accounts/1");
    }

    #[test]
    fn an_unknown_type_says_what_to_do() {
        let event = Event {
            kind: "dbt.artifacts.uploaded.v9".to_owned(),
            ..event()
        };
        let error = event.data().unwrap_err().to_string();
        assert!(
            error.contains("dbt.artifacts.uploaded.v9") && error.contains("upgrade"),
            "{error}"
        );
    }

    #[test]
    fn wrong_data_names_the_field() {
        let event = Event {
            data: RawValue::from_string(r#"{"account_id":1}"#.to_owned()).unwrap(),
            ..event()
        };
        assert!(event.data().unwrap_err().to_string().contains("missing field `name`"));
    }
}
