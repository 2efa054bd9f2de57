//! Publishes events to the stream.

use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use bytes::Bytes;
use schemas::Event;

use crate::{Error, Stream, subject_of};

/// How long publishing may take. A client is waiting for the answer to an upload that is already stored.
const PATIENCE: Duration = Duration::from_secs(1);

impl Stream {
    /// Publishes an event and waits up to a second until the stream has stored it. The server drops duplicates within two minutes.
    /// The headers of the message name the current trace, so that the consumer of the event can continue it.
    ///
    /// # Errors
    /// Fails if the stream does not acknowledge the event in time.
    pub async fn publish(&self, event: &Event) -> Result<(), Error> {
        let late = |_| Error::Unavailable(format!("no acknowledgement within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.publish_or_make(event))
            .await
            .map_err(late)?
    }

    async fn publish_or_make(&self, event: &Event) -> Result<(), Error> {
        let subject = subject_of(event)?;
        let payload = Bytes::from(event.to_json()?);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, event.id.to_string());
        for (name, value) in traces::headers() {
            headers.insert(name, value);
        }
        let attempt = || self.try_publish(subject.clone(), headers.clone(), payload.clone());
        let mut result = attempt().await;
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == PublishErrorKind::StreamNotFound)
        {
            self.make().await?;
            result = attempt().await;
        }
        result.map_err(|error| self.failed(&error))
    }

    async fn try_publish(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<(), PublishError> {
        let sent = self.jetstream.publish_with_headers(subject, headers, payload).await?;
        sent.await.map(|_| ())
    }
}
