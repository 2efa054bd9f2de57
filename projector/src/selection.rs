//! Selects events of the journal.

use bucket::{Bucket, Hours, Journal, made_at};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use schemas::{AccountId, EnvironmentId, Event, EventData, EventId};

/// The maximum difference between the time in an id and the time of its event.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Selects events of the journal. An event must meet all criteria that are given.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only events of this account.
    pub account: Option<AccountId>,
    /// Only events of this environment.
    pub environment: Option<EnvironmentId>,
    /// Only events whose type starts with this text, such as `dbt.` or `token.issued.v1`.
    pub kind: Option<String>,
    /// Only events that were accepted at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only events that were accepted before this time.
    pub to: Option<DateTime<Utc>>,
}

/// Events of one part of the journal that may be selected.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) journal: Journal,
    pub(crate) ids: Vec<EventId>,
    /// How many hours of the journal are listed after these.
    pub(crate) hours_listed: u64,
    /// How many hours of the journal there are to list.
    pub(crate) hours: u64,
}

impl Found {
    /// Returns events that are not listed by hour.
    pub(crate) fn of(journal: Journal, ids: Vec<EventId>) -> Self {
        Self {
            journal,
            ids,
            hours_listed: 0,
            hours: 0,
        }
    }
}

impl Selection {
    /// Whether this event is selected.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.account.is_none_or(|wanted| event.account() == Some(wanted))
            && self.kind.as_deref().is_none_or(|kind| event.kind.starts_with(kind))
            && self.from.is_none_or(|from| event.time >= from)
            && self.to.is_none_or(|to| event.time < to)
            && self
                .environment
                .is_none_or(|wanted| environment_of(event) == Some(wanted))
    }

    /// Lists the events that may be selected, judging only by their ids. Events of the directory come first, then the others, each in ascending
    /// order of their ids.
    pub(crate) fn find(&self, bucket: &Bucket) -> BoxStream<'static, Result<Found, bucket::Error>> {
        let journals = self.journals();
        let directory = journals.contains(&Journal::Directory).then(|| {
            let bucket = bucket.clone();
            let listed = async move {
                let ids = bucket.list_directory_events().await?;
                Ok::<_, bucket::Error>(Found::of(Journal::Directory, ids))
            };
            stream::once(listed).boxed()
        });
        let uploads = journals.contains(&Journal::Uploads).then(|| {
            let parts = bucket.upload_events(self.from.map(|from| from - SKEW), self.to.map(|to| to + SKEW));
            let found = parts.map_ok(|part| Found {
                hours_listed: part.hours_listed,
                hours: part.hours,
                ..Found::of(Journal::Uploads, part.ids)
            });
            found.boxed()
        });
        let selection = self.clone();
        stream::iter(directory.into_iter().chain(uploads))
            .flatten()
            .map_ok(move |mut found| {
                found.ids.retain(|id| selection.may_mean(*id));
                found
            })
            .boxed()
    }

    /// Returns the parts of the journal that may contain selected events.
    #[must_use]
    pub fn journals(&self) -> &'static [Journal] {
        let kind = self.kind.as_deref().unwrap_or_default();
        // The first word of a type determines the part, if the word is complete.
        match Journal::of_type(kind) {
            _ if !kind.contains('.') => &[Journal::Directory, Journal::Uploads],
            Journal::Directory => &[Journal::Directory],
            Journal::Uploads => &[Journal::Uploads],
        }
    }

    /// Returns the hours that may contain selected events of uploads, newest first.
    #[must_use]
    pub fn hours_back(&self, bucket: &Bucket) -> Hours {
        bucket.hours_back(self.from.map(|from| from - SKEW), self.to.map(|to| to + SKEW))
    }

    /// Whether the event with this id may be selected, judging by the time in the id.
    #[must_use]
    pub fn may_mean(&self, id: EventId) -> bool {
        made_at(id).is_none_or(|time| {
            self.from.is_none_or(|from| time >= from - SKEW) && self.to.is_none_or(|to| time <= to + SKEW)
        })
    }
}

fn environment_of(event: &Event) -> Option<EnvironmentId> {
    match event.data().ok()? {
        EventData::ArtifactsUploaded(data) => Some(data.environment_id),
        EventData::FilesStored(data) => data.environment_id,
        EventData::FileDeleted(data) => data.environment_id,
        EventData::AirflowRunObserved(data) => Some(data.environment_id),
        EventData::DbtProjectRetired(data) => Some(data.environment_id),
        EventData::EnvironmentRecorded(data) => Some(data.environment_id),
        EventData::TokenIssued(data) => data.environment_id,
        EventData::AccountRecorded(_)
        | EventData::ProjectRecorded(_)
        | EventData::ConnectionRecorded(_)
        | EventData::TokenRevoked(_)
        | EventData::RetentionPruned(_)
        | EventData::OperatorTokenIssued(_)
        | EventData::OperatorTokenRevoked(_)
        | EventData::OperatorActed(_) => None,
    }
}
