//! Applies events to the read model, each kind in its own way.

mod directory;
mod member;
mod operator;
mod prune;
mod retirement;
mod together;

use std::collections::HashSet;

use schemas::{AccountId, EnvironmentId, Event, EventData, EventId, EventType};
use sqlx::PgConnection;

pub use self::prune::PrunePlan;

use self::member::Member;
use self::together::Together;
use crate::content::{FileWaits, Reading};
use crate::lock_waits::LockWaits;
use crate::outcome::Outcome;
use crate::{ApplyError, Projector};

/// The number of attempts to apply a batch when data is removed in the meantime.
const TRIES: usize = 10;

/// The result of each event of a batch.
pub(crate) type Applied = Vec<(EventId, Result<Outcome, ApplyError>)>;

/// The result of applying a batch.
pub(crate) enum Projected {
    /// Each event has a result, except those that must be applied alone because reading their files takes long.
    Done { applied: Applied, late: Vec<EventId> },
    /// Nothing was applied, since the new files are too large to be read at once. New parts begin at these events.
    TooLarge { parts: HashSet<EventId> },
}

/// How events of a type are applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In their order, each in a transaction of its own.
    Alone,
    /// With others in any order, since they only add something.
    Together { has_files: bool },
}

/// Returns `None` for types of later versions.
fn way_of(event: &Event) -> Option<Way> {
    Some(match EventType::named(&event.kind)? {
        EventType::ArtifactsUploaded | EventType::FilesStored => Way::Together { has_files: true },
        EventType::FileDeleted | EventType::AirflowRunObserved => Way::Together { has_files: false },
        EventType::AccountRecorded
        | EventType::ProjectRecorded
        | EventType::EnvironmentRecorded
        | EventType::ConnectionRecorded
        | EventType::TokenIssued
        | EventType::TokenRevoked
        | EventType::RetentionPruned
        | EventType::DbtProjectRetired
        | EventType::OperatorTokenIssued
        | EventType::OperatorTokenRevoked
        | EventType::OperatorActed => Way::Alone,
    })
}

/// Whether the event can be applied together with others.
pub(crate) fn is_independent(event: &Event) -> bool {
    matches!(way_of(event), Some(Way::Together { .. }))
}

/// Whether the event is an upload of files.
pub(crate) fn has_files(event: &Event) -> bool {
    way_of(event) == Some(Way::Together { has_files: true })
}

/// The account and the environment whose locks an event needs; `None` if it cannot be read.
pub(crate) type Locks = Option<(AccountId, Option<EnvironmentId>)>;

pub(crate) fn locks_of(event: &Event) -> Locks {
    let member = Member::of(event).ok()?;
    let environment = member.parents().map(|parents| parents.environment);
    Some((member.account, environment))
}

impl Projector {
    /// Applies events that are independent of each other, or a single one, whose files are waited for as `files` says.
    pub(crate) async fn project(
        &self,
        connection: &mut PgConnection,
        events: &[Event],
        reading: Reading,
        waits: LockWaits,
        files: FileWaits,
    ) -> Result<Projected, ApplyError> {
        if let [event] = events
            && !is_independent(event)
        {
            let outcome = self.project_alone(connection, event).await?;
            return Ok(Projected::Done {
                applied: vec![(event.id, Ok(outcome))],
                late: Vec::new(),
            });
        }
        let together = Together::of(events, reading, waits, files);
        for _ in 0..TRIES {
            if let Some(projected) = self.project_together(connection, &together).await? {
                return Ok(projected);
            }
        }
        // Only the account whose data is removed has to wait.
        let cause = format!("data that the events need was removed {TRIES} times in the meantime");
        Err(ApplyError::Locked(cause))
    }

    async fn project_alone(&self, connection: &mut PgConnection, event: &Event) -> Result<Outcome, ApplyError> {
        let data = event.data().map_err(|error| ApplyError::Rejected(error.to_string()))?;
        match &data {
            EventData::RetentionPruned(pruned) => self.project_prune(connection, event, pruned).await,
            EventData::DbtProjectRetired(retired) => self.project_retirement(connection, event, retired).await,
            EventData::AccountRecorded(_)
            | EventData::ProjectRecorded(_)
            | EventData::EnvironmentRecorded(_)
            | EventData::ConnectionRecorded(_)
            | EventData::TokenIssued(_)
            | EventData::TokenRevoked(_)
            | EventData::OperatorTokenIssued(_)
            | EventData::OperatorTokenRevoked(_) => self.project_directory(connection, event, &data).await,
            EventData::OperatorActed(acted) => self.project_action(connection, event, acted).await,
            EventData::ArtifactsUploaded(_)
            | EventData::FilesStored(_)
            | EventData::FileDeleted(_)
            | EventData::AirflowRunObserved(_) => Err(ApplyError::Rejected(format!(
                "unexpected data of the type `{}`",
                event.kind
            ))),
        }
    }
}
