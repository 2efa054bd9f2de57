//! Events over NATS JetStream: one stream, one durable consumer that all projectors share.
//!
//! The stream is a nerve and no store: what it loses, the projectors find in the journal. So it may be wiped at any time; whoever publishes
//! or consumes next makes it anew.

mod consume;
mod publish;
mod settings;

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use schemas::Event;

pub use consume::{Message, Messages};
pub use settings::Settings;

/// The stream's name.
const STREAM: &str = "DBT_EVENTS";

/// How long events stay in the stream; whatever is older, the sweep of the journal has found.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The stream as one client sees it. Cheap to clone.
#[derive(Clone)]
pub struct Stream {
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

/// NATS did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer.
    #[error("NATS does not answer ({0}); check NATS_URL and that the server runs")]
    Unavailable(String),
    /// It answers, and refuses.
    #[error("NATS refuses ({0}); check that JetStream is enabled and that the user may use it")]
    Refused(String),
    /// The event cannot be written as JSON.
    #[error("the event cannot be published: {0}")]
    Invalid(#[from] serde_json::Error),
}

impl Stream {
    /// Begins to connect, and goes on trying for ever: no role waits for NATS in order to start.
    ///
    /// # Errors
    /// When the settings cannot be used, such as a credentials file that is not there.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let mut options = async_nats::ConnectOptions::new()
            .name("dbt-api")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(Duration::from_secs(5)))
            .reconnect_delay_callback(|attempts| Duration::from_millis(100 * attempts.min(20) as u64));
        if let Some(file) = &settings.credentials_file {
            options = options
                .credentials_file(file)
                .await
                .map_err(|error| Error::Refused(format!("NATS_CREDENTIALS_FILE={}: {error}", file.display())))?;
        }
        let client = options
            .connect(settings.servers()?)
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self {
            jetstream: jetstream::new(client.clone()),
            client,
        })
    }

    /// Is there a connection, and is the stream there?
    ///
    /// # Errors
    /// When not.
    pub async fn check(&self) -> Result<(), Error> {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err(Error::Unavailable("not connected".to_owned()));
        }
        let stream = self.jetstream.get_stream(STREAM).await;
        stream.map(|_| ()).map_err(|error| Error::Refused(error.to_string()))
    }

    /// Makes the stream, or brings its settings up to date.
    async fn make(&self) -> Result<stream::Stream, Error> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            description: Some("Events of dbt-api. A copy: the truth is the journal in the bucket.".to_owned()),
            subjects: vec!["dbt.events.>".to_owned()],
            max_age: MAX_AGE,
            duplicate_window: Duration::from_secs(120),
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        let refused = |error: &dyn std::fmt::Display| Error::Refused(error.to_string());
        self.jetstream
            .create_or_update_stream(config)
            .await
            .map_err(|error| refused(&error))?;
        self.jetstream.get_stream(STREAM).await.map_err(|error| refused(&error))
    }
}

/// `dbt.events.<account id>.<type>`
fn subject_of(event: &Event) -> String {
    let account = event.subject.strip_prefix("accounts/").unwrap_or("0");
    format!("dbt.events.{account}.{}", event.kind)
}
