//! Publishes events to the stream.

use std::error::Error as _;
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use schemas::Event;

use crate::{Error, Stream, subject_of};

/// How long publishing may take. A client is waiting for the answer to an upload that is already stored.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event as a message. Its headers name the current trace, so that the consumer of the event can continue it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outgoing {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Outgoing {
    pub(crate) fn of(event: &Event) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, event.id.to_string());
        for (name, value) in traces::headers() {
            headers.insert(name, value);
        }
        Ok(Self {
            subject: subject_of(event)?,
            headers,
            payload: Bytes::from(event.to_json()?),
        })
    }

    /// The bytes of the event.
    pub(crate) fn size(&self) -> usize {
        self.payload.len()
    }
}

impl Stream {
    /// Publishes an event and waits up to a second until the stream has stored it. The server drops duplicates within two minutes.
    ///
    /// # Errors
    /// Fails if the stream does not acknowledge the event in time.
    pub async fn publish(&self, event: &Event) -> Result<(), Error> {
        self.send(&Outgoing::of(event)?).await
    }

    /// Publishes a message as [`Stream::publish`] does.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Result<(), Error> {
        let late = |_| Error::Unavailable(format!("no acknowledgement within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.send_or_make(outgoing))
            .await
            .map_err(late)?
    }

    async fn send_or_make(&self, outgoing: &Outgoing) -> Result<(), Error> {
        let mut result = self.try_send(outgoing.clone()).await;
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == PublishErrorKind::StreamNotFound)
        {
            self.make().await?;
            result = self.try_send(outgoing.clone()).await;
        }
        result.map_err(|error| match is_too_large(&error) {
            true => Error::TooLarge(error.to_string()),
            false => self.failed(&error),
        })
    }

    async fn try_send(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let Outgoing {
            subject,
            headers,
            payload,
        } = outgoing;
        let sent = self.jetstream.publish_with_headers(subject, headers, payload).await?;
        sent.await.map(|_| ())
    }
}

/// Whether the server or the stream never takes a message of this size.
fn is_too_large(error: &PublishError) -> bool {
    let answered = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || answered.is_some_and(|error| error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}
