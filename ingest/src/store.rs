//! How an upload becomes durable: the bytes, then the event that tells of them.

use std::time::Duration;

use bucket::{Compressed, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use edge::{Needed, UploadError};
use schemas::{AccountId, Event, EventData, EventId, UploadedFile};
use tokio::time::timeout;

use crate::Ingest;
use crate::spool::Spooled;

/// How long the bucket may take. A client of dbt-coves has left by then, others wait longer.
const MAX_WRITE_TIME: Duration = Duration::from_secs(30);

/// An upload that came whole.
pub(crate) struct Upload {
    /// The event's id; none: a new one. A client that may send the same upload again gives it the same id.
    pub(crate) event_id: Option<EventId>,
    /// When that was made which this replaces: this has to be later, though another process with a clock that is ahead made that.
    pub(crate) after: Option<DateTime<Utc>>,
    pub(crate) account: AccountId,
    pub(crate) files: Vec<NamedFile>,
}

/// A file of an upload.
pub(crate) struct NamedFile {
    pub(crate) told: UploadedFile,
    pub(crate) compressed: Compressed,
}

impl NamedFile {
    pub(crate) fn new(name: String, file: Spooled) -> Self {
        Self {
            told: UploadedFile {
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
    #[error("the event cannot be written as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

impl Ingest {
    /// First the bytes, then the event that tells of them, whose data `tell` makes; then the upload is accepted, whatever becomes of the rest.
    pub(crate) async fn store(
        &self,
        upload: Upload,
        tell: impl FnOnce(Vec<UploadedFile>) -> EventData,
    ) -> Result<Event, UploadError> {
        let event = match timeout(MAX_WRITE_TIME, self.write(upload, tell)).await {
            Ok(Ok(event)) => event,
            Ok(Err(WriteError::Bucket(error))) if error.is_unavailable() => {
                return Err(UploadError::unavailable(Needed::Storage, &error));
            }
            Ok(Err(error)) => return Err(UploadError::internal(&error)),
            Err(_) => return Err(UploadError::unavailable(Needed::Storage, &"the bucket is too slow")),
        };
        if let Err(error) = self.stream.publish(&event).await {
            tracing::warn!(event = %event.id, %error, "an upload is not announced; the projectors' sweep will find it");
        }
        Ok(event)
    }

    async fn write(
        &self,
        upload: Upload,
        tell: impl FnOnce(Vec<UploadedFile>) -> EventData,
    ) -> Result<Event, WriteError> {
        let mut files = Vec::with_capacity(upload.files.len());
        for file in upload.files {
            self.bucket
                .put_artifact(upload.account, file.told.sha256, file.compressed)
                .await?;
            files.push(file.told);
        }
        let after = upload.after.map(|time| time + TimeDelta::microseconds(1));
        let time = self.clock.now().max(after.unwrap_or_default());
        let id = upload.event_id.unwrap_or_else(|| EventId(self.clock.new_id(time)));
        let event = Event::new(id, time, &tell(files))?;
        self.bucket.put_event(&event).await?;
        if upload.event_id.is_some() {
            // Sent before, perhaps: then the event of that time is the one that counts, and is announced.
            return Ok(self.bucket.get_event(Journal::Uploads, id).await?);
        }
        Ok(event)
    }
}
