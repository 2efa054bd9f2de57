//! Events into the stream.

use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishErrorKind;
use schemas::Event;

use crate::{Error, Stream, subject_of};

/// The longest that a publication may take: someone waits for the answer to an upload that is safe already.
const PATIENCE: Duration = Duration::from_secs(1);

impl Stream {
    /// Publishes an event and waits until the stream has it, a second at most. The same event again within two minutes is dropped by
    /// the server.
    ///
    /// # Errors
    /// When the stream does not have it, or did not say so in time.
    pub async fn publish(&self, event: &Event) -> Result<(), Error> {
        let late = |_| Error::Unavailable(format!("no acknowledgement within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.publish_or_make(event)).await.map_err(late)?
    }

    async fn publish_or_make(&self, event: &Event) -> Result<(), Error> {
        let payload = event.to_json()?;
        match self.try_publish(event, &payload).await {
            Err(PublishErrorKind::StreamNotFound) => {
                self.make().await?;
                self.try_publish(event, &payload).await.map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    async fn try_publish(&self, event: &Event, payload: &[u8]) -> Result<(), PublishErrorKind> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, event.id.to_string());
        let acknowledgement = self
            .jetstream
            .publish_with_headers(subject_of(event), headers, payload.to_vec().into())
            .await
            .map_err(|error| error.kind())?;
        acknowledgement.await.map_err(|error| error.kind())?;
        Ok(())
    }
}

fn failed(kind: PublishErrorKind) -> Error {
    match kind {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Error::Unavailable(kind.to_string()),
        other => Error::Refused(other.to_string()),
    }
}
