//! The events of the journal: a CloudEvents envelope, and the data of each event type.

mod data;
mod operators;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use data::*;
pub use operators::*;

use crate::{AccountId, EventId};

/// The envelope of every event: the attributes of CloudEvents 1.0 (the CNCF's specification, JSON format) and the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The version of the CloudEvents specification, always `1.0`.
    pub specversion: String,
    /// The event's id, also used as the `Nats-Msg-Id` and as the name of the object in the journal.
    pub id: EventId,
    /// The program that created the event.
    pub source: String,
    /// The event type with its version, for example `dbt.artifacts.uploaded.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When the event was accepted, by the clock of the process that accepted it.
    pub time: DateTime<Utc>,
    /// What the event is about: `accounts/<account id>`, or `installation`.
    pub subject: String,
    /// The content type of `data`, always `application/json`.
    pub datacontenttype: String,
    /// The path of the JSON Schema of `data`, relative to the repository.
    pub dataschema: String,
    /// The raw JSON of the data, which [`Event::data`] parses.
    pub data: Box<RawValue>,
}

/// The subject of events that are about no account.
pub const INSTALLATION: &str = "installation";

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// This version does not know the event type.
    #[error(
        "unknown event type `{0}`: upgrade dbt-api to a version that knows it, then run `dbt-api dead-letters retry`"
    )]
    UnknownType(String),
    /// The data does not match the event type.
    #[error("invalid data in an event of type `{kind}`: {source}")]
    Data {
        /// The event's type.
        kind: String,
        /// The field that is wrong, and why.
        source: serde_json::Error,
    },
    /// The envelope is invalid.
    #[error("invalid event: {0}")]
    Envelope(#[from] serde_json::Error),
}

impl Event {
    /// Creates an event with this data.
    ///
    /// # Errors
    /// Returns an error if the data cannot be written as JSON. No variant of [`EventData`] causes that.
    pub fn new(id: EventId, time: DateTime<Utc>, data: &EventData) -> Result<Self, serde_json::Error> {
        let kind = data.kind();
        Ok(Self {
            specversion: "1.0".to_owned(),
            id,
            source: "dbt-api".to_owned(),
            kind: kind.to_owned(),
            time,
            subject: match data.account_id() {
                Some(account) => format!("accounts/{account}"),
                None => INSTALLATION.to_owned(),
            },
            datacontenttype: "application/json".to_owned(),
            dataschema: format!("schemas/json/{kind}.json"),
            data: data.to_raw()?,
        })
    }

    /// Parses the data of the event.
    ///
    /// # Errors
    /// Returns an error if the type is unknown or the data does not match it.
    pub fn data(&self) -> Result<EventData, InvalidEvent> {
        EventData::read(&self.kind, &self.data)
    }

    /// Returns the account that the event is about, or `None` if the subject names none.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.subject.strip_prefix("accounts/")?.parse().ok()
    }

    /// Parses an event from the JSON in the journal or the stream.
    ///
    /// # Errors
    /// Returns an error if the bytes are not an event.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidEvent> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Serializes the event to the JSON that the journal and the stream store.
    ///
    /// # Errors
    /// Returns an error in the same case as [`Event::new`].
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

macro_rules! event_data {
    ($($(#[$doc:meta])* $name:ident = $kind:literal),* $(,)?) => {
        /// The data of an event, one variant for each type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum EventData {
            $($(#[$doc])* $name($name),)*
        }

        /// The event types of this version. Code that treats types differently matches on this, so that a new type cannot be forgotten.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventType {
            $($(#[$doc])* $name,)*
        }

        impl EventType {
            /// All event types.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the type with this name, such as `token.issued.v1`, or `None` if this version does not know it.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($kind => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name of the type with its version, as in events.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }
        }

        impl EventData {
            /// The event type with its version.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// The account that the event is about; none if it is about the whole installation.
            #[must_use]
            pub fn account_id(&self) -> Option<AccountId> {
                match self { $(Self::$name(data) => data.about(),)* }
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

            /// The JSON Schema of the data of each type.
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

/// Which account the data of an event is about.
trait About {
    fn about(&self) -> Option<AccountId>;
}

macro_rules! about_an_account {
    ($($name:ident),* $(,)?) => {
        $(impl About for $name {
            fn about(&self) -> Option<AccountId> { Some(self.account_id) }
        })*
    };
}

about_an_account! {
    ArtifactsUploaded, FilesStored, FileDeleted, AccountRecorded, ProjectRecorded, EnvironmentRecorded, ConnectionRecorded, TokenIssued,
    TokenRevoked, AirflowRunObserved, RetentionPruned, DbtProjectRetired,
}

impl About for OperatorTokenIssued {
    fn about(&self) -> Option<AccountId> {
        None
    }
}

impl About for OperatorTokenRevoked {
    fn about(&self) -> Option<AccountId> {
        None
    }
}

impl About for OperatorActed {
    fn about(&self) -> Option<AccountId> {
        self.account_id
    }
}

event_data! {
    /// Artifacts of dbt were uploaded, or files that belong to them.
    ArtifactsUploaded = "dbt.artifacts.uploaded.v1",
    /// Files, or new versions of files, were stored.
    FilesStored = "dbt.files.stored.v1",
    /// Files were deleted.
    FileDeleted = "dbt.file.deleted.v1",
    /// An account was created or changed.
    AccountRecorded = "directory.account.recorded.v1",
    /// A project was created or changed.
    ProjectRecorded = "directory.project.recorded.v1",
    /// An environment was created or changed.
    EnvironmentRecorded = "directory.environment.recorded.v1",
    /// An operator described the warehouse of a project.
    ConnectionRecorded = "directory.connection.recorded.v1",
    /// A token was created.
    TokenIssued = "token.issued.v1",
    /// A token was revoked.
    TokenRevoked = "token.revoked.v1",
    /// Airflow was asked about a DAG run and reported its state.
    AirflowRunObserved = "airflow.run.observed.v1",
    /// Old runs were removed from the read model.
    RetentionPruned = "retention.pruned.v1",
    /// A dbt project was removed from an environment.
    DbtProjectRetired = "dbt.project.retired.v1",
    /// A token for operators was created.
    OperatorTokenIssued = "token.issued.v2",
    /// A token for operators was revoked.
    OperatorTokenRevoked = "token.revoked.v2",
    /// An operator did something in the console.
    OperatorActed = "operator.acted.v1",
}

/// The envelope of every event. The schema of the event's type describes `data`.
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "only its schema is used, because RawValue has none")]
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

/// The names and contents of the files that are committed in `schemas/json/`.
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
    fn an_event_round_trips_through_json() {
        let event = event();
        let again = Event::from_json(&event.to_json().unwrap()).unwrap();
        assert_eq!(again.data().unwrap(), event.data().unwrap());
        assert_eq!(again.kind, "directory.account.recorded.v1");
        assert_eq!(again.subject, "accounts/1");
    }

    #[test]
    fn an_unknown_type_is_reported_with_a_remedy() {
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
    fn invalid_data_is_reported_with_its_field() {
        let event = Event {
            data: RawValue::from_string(r#"{"account_id":1}"#.to_owned()).unwrap(),
            ..event()
        };
        assert!(event.data().unwrap_err().to_string().contains("missing field `name`"));
    }
}
