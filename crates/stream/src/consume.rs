//! Consumes events from the stream.

use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{self, AckPolicy, FromConsumer, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use futures_util::{FutureExt, StreamExt};

use crate::{Error, Stream};

/// The consumer that all projectors share.
const CONSUMER: &str = "projector";

/// How long an event may stay unacknowledged before another projector gets it.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How many events a projector gets in advance, about as many as one batch, because [`ACK_WAIT`] begins when an event is delivered.
const AHEAD: usize = 256;

/// How many events may be unacknowledged at the same time: some of each of several projectors, and those that wait for something.
const MAX_UNACKNOWLEDGED: i64 = 10_000;

/// How often the server sends a heartbeat while it has no events. If two are missing, it is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// A stream of events.
pub struct Messages {
    events: pull::Stream,
    /// An error that came after the events that were returned last.
    failed: Option<Error>,
}

/// An event that must be acknowledged.
pub struct Message(async_nats::jetstream::Message);

impl Stream {
    /// Starts to consume events. Creates the stream and the consumer if they are missing.
    ///
    /// # Errors
    /// Fails if NATS is unavailable or refuses.
    pub async fn consume(&self) -> Result<Messages, Error> {
        let stream = self.make().await?;
        let consumer = match stream.consumer_info(CONSUMER).await {
            Ok(found) => {
                let needed = with_what_is_needed(&found.config);
                if needed != found.config {
                    let pull = pull::Config::try_from_consumer_config(needed);
                    let pull = pull.map_err(|error| self.failed(&error))?;
                    // An operator may have forbidden it. It is better to consume than to wait for the sweep.
                    if let Err(error) = stream.update_consumer(pull).await {
                        tracing::warn!(%error, "cannot update the consumer of the stream");
                    }
                }
                let consumer = stream.get_consumer::<pull::Config>(CONSUMER).await;
                consumer.map_err(|error| self.failed(&error))?
            }
            Err(error) if error.kind() != ConsumerInfoErrorKind::NotFound => return Err(self.failed(&error)),
            Err(_) => {
                let config = pull::Config {
                    durable_name: Some(CONSUMER.to_owned()),
                    description: Some("Brings events to the projectors of dbt-api.".to_owned()),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: ACK_WAIT,
                    max_deliver: -1,
                    max_ack_pending: MAX_UNACKNOWLEDGED,
                    ..pull::Config::default()
                };
                let created = stream.create_consumer(config).await;
                created.map_err(|error| self.failed(&error))?
            }
        };
        let messages = consumer
            .stream()
            .max_messages_per_batch(AHEAD)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(Messages {
            events: messages,
            failed: None,
        })
    }
}

/// Returns the consumer's configuration with what projectors need. An operator may have changed the rest.
fn with_what_is_needed(config: &consumer::Config) -> consumer::Config {
    let mut needed = config.clone();
    needed.ack_wait = needed.ack_wait.max(ACK_WAIT);
    needed.max_deliver = -1;
    // No limit is less than any.
    if (0..MAX_UNACKNOWLEDGED).contains(&needed.max_ack_pending) {
        needed.max_ack_pending = MAX_UNACKNOWLEDGED;
    }
    needed
}

impl Messages {
    /// Waits for the next event without a time limit. Returns it with those that have arrived already, at most `max` in all.
    ///
    /// # Errors
    /// Fails if NATS or the consumer is gone. Then [`Stream::consume`] must be called again.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let first = self.events.next().await;
        let mut batch = vec![message(first)?];
        while batch.len() < max
            && let Some(next) = self.events.next().now_or_never()
        {
            match message(next) {
                Ok(next) => batch.push(next),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(batch)
    }
}

fn message<E: Display>(next: Option<Result<async_nats::jetstream::Message, E>>) -> Result<Message, Error> {
    match next {
        Some(Ok(message)) => Ok(Message(message)),
        Some(Err(error)) => Err(Error::Unavailable(error.to_string())),
        None => Err(Error::Unavailable("the consumer is gone".to_owned())),
    }
}

impl Message {
    /// Returns the payload, which should be an event as JSON.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0.headers.as_ref()?;
        headers.get(name).map(|value| value.as_str())
    }

    /// Reports that the event was handled, so that it is not delivered again.
    ///
    /// # Errors
    /// Fails if NATS is unavailable.
    pub async fn ack(&self) -> Result<(), Error> {
        self.answer(AckKind::Ack).await
    }

    /// Reports that the event is still being handled, so that it is not delivered to another projector for the next 30 s.
    ///
    /// # Errors
    /// Fails if NATS is unavailable.
    pub async fn progress(&self) -> Result<(), Error> {
        self.answer(AckKind::Progress).await
    }

    /// Reports that the event was not handled, so that it is delivered again, to any projector, after this time.
    ///
    /// # Errors
    /// Fails if NATS is unavailable.
    pub async fn retry_later(&self, after: Duration) -> Result<(), Error> {
        self.answer(AckKind::Nak(Some(after))).await
    }

    async fn answer(&self, answer: AckKind) -> Result<(), Error> {
        let sent = self.0.ack_with(answer).await;
        sent.map_err(|error| Error::Unavailable(error.to_string()))
    }
}
