//! Events out of the stream.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt;

use crate::{Error, Stream};

/// The consumer that all projectors share.
const CONSUMER: &str = "projector";

/// After this time without a word an event is given to another projector.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How many events a projector is given ahead. Few, since the time of each runs from when it was given.
const AHEAD: usize = 4;

/// How often the server says that it is there while it has no events.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Events as they come.
pub struct Messages(pull::Stream);

/// An event that is to be acknowledged.
pub struct Message(async_nats::jetstream::Message);

impl Stream {
    /// Begins to take events; makes the stream and the consumer where they are missing.
    ///
    /// # Errors
    /// When NATS is away or refuses.
    pub async fn consume(&self) -> Result<Messages, Error> {
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("Brings events to the projectors of dbt-api.".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: 1000,
            ..pull::Config::default()
        };
        let consumer = self.make().await?.create_consumer(config).await;
        let consumer = consumer.map_err(|error| self.failed(&error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(AHEAD)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(Messages(messages))
    }
}

impl Messages {
    /// Waits for the next event, however long none comes.
    ///
    /// # Errors
    /// When NATS or the consumer is gone; then [`Stream::consume`] is to be called again.
    pub async fn next(&mut self) -> Result<Message, Error> {
        match self.0.next().await {
            Some(Ok(message)) => Ok(Message(message)),
            Some(Err(error)) => Err(Error::Unavailable(error.to_string())),
            None => Err(Error::Unavailable("the consumer is gone".to_owned())),
        }
    }
}

impl Message {
    /// The event as JSON, if it is one.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// It was dealt with, and is not to be brought again.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn ack(&self) -> Result<(), Error> {
        self.answer(AckKind::Ack).await
    }

    /// It is still being dealt with, and is not to be given to another for the next 30 s.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn progress(&self) -> Result<(), Error> {
        self.answer(AckKind::Progress).await
    }

    /// It was not dealt with, and is to be brought again, to whoever is there, after this time.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn retry_later(&self, after: Duration) -> Result<(), Error> {
        self.answer(AckKind::Nak(Some(after))).await
    }

    async fn answer(&self, answer: AckKind) -> Result<(), Error> {
        let told = self.0.ack_with(answer).await;
        told.map_err(|error| Error::Unavailable(error.to_string()))
    }
}
