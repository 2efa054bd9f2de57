//! Stores an upload durably: first the bytes, then the event.

use std::time::Duration;

use bucket::{Compressed, Journal};
use chrono::{DateTime, TimeDelta, Utc};
use edge::{Cause, Needed, UploadError};
use schemas::{Event, EventData, EventId, Sha256, UploadedFile};
use tokio::time::timeout;
use tracing::Instrument;

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
    pub(crate) data: EventData,
    /// The bytes of the files that are not in the bucket yet.
    pub(crate) contents: Vec<(Sha256, Compressed)>,
}

impl Upload {
    /// An upload of files whose bytes are in the bucket, or of none.
    pub(crate) fn without_bytes(data: impl Into<EventData>, after: Option<DateTime<Utc>>) -> Self {
        Self {
            event_id: None,
            after,
            data: data.into(),
            contents: Vec::new(),
        }
    }
}

/// A file of an upload.
pub(crate) struct NamedFile {
    pub(crate) uploaded: UploadedFile,
    pub(crate) compressed: Compressed,
}

impl NamedFile {
    /// Splits files into what events say about them and their bytes.
    pub(crate) fn split(files: Vec<Self>) -> (Vec<UploadedFile>, Vec<(Sha256, Compressed)>) {
        let files = files.into_iter();
        files
            .map(|file| (file.uploaded.clone(), (file.uploaded.sha256, file.compressed)))
            .unzip()
    }

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
    /// Stores the bytes and then the event. From then on the upload is accepted, even if it cannot be announced now.
    pub(crate) async fn store(&self, upload: Upload) -> Result<Event, UploadError> {
        let event = match timeout(MAX_WRITE_TIME, self.write(upload)).await {
            Ok(Ok(event)) => event,
            Ok(Err(WriteError::Bucket(error))) if error.is_unavailable() => {
                return Err(UploadError::unavailable(Needed::Storage, &error));
            }
            Ok(Err(error)) => return Err(UploadError::internal(&error)),
            Err(_) => {
                return Err(UploadError::unavailable(
                    Needed::Storage,
                    &Cause("the bucket is too slow"),
                ));
            }
        };
        self.announcer.announce(&event).await;
        Ok(event)
    }

    async fn write(&self, upload: Upload) -> Result<Event, WriteError> {
        if let Some(account) = upload.data.account_id() {
            for (sha256, compressed) in upload.contents {
                self.bucket.put_artifact(account, sha256, compressed).await?;
            }
        }
        let after = upload.after.map(|time| time + TimeDelta::microseconds(1));
        let time = self.clock.now().max(after.unwrap_or_default());
        let id = upload.event_id.unwrap_or_else(|| EventId(self.clock.new_id(time)));
        let event = Event::new(id, time, &upload.data)?;
        self.bucket.put_event(&event).await?;
        if upload.event_id.is_some() {
            // If the upload was sent before, the first event counts and is announced.
            return Ok(self.bucket.get_event(Journal::Uploads, id).await?);
        }
        Ok(event)
    }
}

/// Does work to its end in a task of its own, so that a complete upload is stored even if its client does not wait for the answer.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    let done = tokio::spawn(traces::in_current_trace(work).in_current_span()).await;
    done.unwrap_or_else(|error| Err(UploadError::internal(&error)))
}
