//! Stores an upload durably: first the bytes, then the event.

use std::time::Duration;

use bucket::{Compressed, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use edge::{Needed, UploadError};
use schemas::{AccountId, Event, EventData, EventId, UploadedFile};
use tokio::time::timeout;

use crate::Ingest;
use crate::spool::Spooled;

/// How long the bucket may take. Clients of dbt-coves do not wait that long; others wait longer.
const MAX_WRITE_TIME: Duration = Duration::from_secs(30);

/// A complete upload.
pub(crate) struct Upload {
    /// The event's id, or `None` for a new one. Uploads that may be sent twice have the same id both times.
    pub(crate) event_id: Option<EventId>,
    /// The time of the event that this upload replaces. The new event must be later, even if another process's clock was ahead.
    pub(crate) after: Option<DateTime<Utc>>,
    pub(crate) account: AccountId,
    pub(crate) files: Vec<NamedFile>,
}

/// A file of an upload.
pub(crate) struct NamedFile {
    pub(crate) uploaded: UploadedFile,
    pub(crate) compressed: Compressed,
}

impl NamedFile {
    pub(crate) fn new(name: String, file: Spooled) -> Self {
        Self {
            uploaded: UploadedFile {
                name,
                kind: file.scanned.kind,
                sha256: file.sha256,
                size: file.size,
                stored_size: file.stored_size,
                dbt_schema_version: file.scanned.dbt_schema_version,
                dbt_version: file.scanned.dbt_version,
                invocation_id: file.scanned.invocation_id,
                generated_at: file.scanned.generated_at,
            },
            compressed: file.compressed,
        }
    }
}

/// Why an upload was not stored.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
    #[error("cannot write the event as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

impl Ingest {
    /// Stores the bytes and then the event, whose data `event_data` makes. From then on the upload is accepted, even if announcing it fails.
    pub(crate) async fn store(
        &self,
        upload: Upload,
        event_data: impl FnOnce(Vec<UploadedFile>) -> EventData,
    ) -> Result<Event, UploadError> {
        let event = match timeout(MAX_WRITE_TIME, self.write(upload, event_data)).await {
            Ok(Ok(event)) => event,
            Ok(Err(WriteError::Bucket(error))) if error.is_unavailable() => {
                return Err(UploadError::unavailable(Needed::Storage, &error));
            }
            Ok(Err(error)) => return Err(UploadError::internal(&error)),
            Err(_) => return Err(UploadError::unavailable(Needed::Storage, &"the bucket is too slow")),
        };
        if let Err(error) = self.stream.publish(&event).await {
            tracing::warn!(event = %event.id, %error, "cannot announce an upload; the projectors' sweep will find it");
        }
        Ok(event)
    }

    async fn write(
        &self,
        upload: Upload,
        event_data: impl FnOnce(Vec<UploadedFile>) -> EventData,
    ) -> Result<Event, WriteError> {
        let mut files = Vec::with_capacity(upload.files.len());
        for file in upload.files {
            self.bucket
                .put_artifact(upload.account, file.uploaded.sha256, file.compressed)
                .await?;
            files.push(file.uploaded);
        }
        let after = upload.after.map(|time| time + TimeDelta::microseconds(1));
        let time = self.clock.now().max(after.unwrap_or_default());
        let id = upload.event_id.unwrap_or_else(|| EventId(self.clock.new_id(time)));
        let event = Event::new(id, time, &event_data(files))?;
        self.bucket.put_event(&event).await?;
        if upload.event_id.is_some() {
            // If the upload was sent before, the first event counts and is announced.
            return Ok(self.bucket.get_event(Journal::Uploads, id).await?);
        }
        Ok(event)
    }
}
