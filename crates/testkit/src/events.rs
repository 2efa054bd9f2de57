//! Events of which only the journal matters.

use chrono::{DateTime, Utc};
use clock::Clock;
use schemas::{AccountId, DeletedFiles, Event, EventId, FileDeleted, ProjectId, TokenId};
use uuid::Uuid;

/// Returns an event of the journal of uploads that was accepted at this time. It deletes a file of account 1 that does not exist.
#[must_use]
pub fn deletion(time: DateTime<Utc>) -> Event {
    let data = FileDeleted {
        account_id: AccountId(1),
        project_id: ProjectId(1),
        environment_id: None,
        files: DeletedFiles::Slug(Uuid::nil()),
        deleted_by: TokenId(Uuid::nil()),
    };
    Event::new(EventId(Clock::System.new_id(time)), time, &data.into()).expect("serializes")
}
