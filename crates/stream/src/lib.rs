#![doc = include_str!("../README.md")]

mod announce;
mod consume;
mod publish;
mod settings;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::{self, ErrorCode, stream};
use schemas::Event;

pub use announce::Announcer;
pub use consume::{HEARTBEAT, Message, Messages};
pub use settings::Settings;

use crate::settings::Login;

/// The stream's name.
const STREAM: &str = "DBT_EVENTS";

/// How long events stay in the stream. By then, the sweep of the journal has found them.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// For how long the stream refuses an event that it has already.
const DUPLICATES: Duration = Duration::from_secs(120);

/// The subjects of all events.
const SUBJECTS: &str = "dbt.events.>";

/// A client of the stream. Cheap to clone.
#[derive(Clone)]
pub struct Stream {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    /// How many servers should have the stream, or `None` to leave that as it is.
    replicas: Option<usize>,
    /// Why the stream could not be created the last time.
    not_created: Arc<Mutex<Option<String>>>,
}

/// An error of the stream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// NATS does not answer.
    #[error("NATS does not answer ({0}); check NATS_URL, its login, and that the server runs")]
    Unavailable(String),
    /// NATS answers, but refuses.
    #[error(
        "NATS refuses ({0}); check that JetStream is enabled, that the user may use it, and that there are as many servers as NATS_REPLICAS says"
    )]
    Refused(String),
    /// The credentials file cannot be used.
    #[error("NATS_CREDENTIALS_FILE={file} cannot be used ({error}); create it again with `nsc generate creds`")]
    Credentials {
        /// The path, as the setting names it.
        file: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// NATS takes no event of this size.
    #[error("cannot publish the event: it is larger than NATS allows ({0})")]
    TooLarge(String),
    /// As many events wait for NATS as may wait.
    #[error("NATS takes no events, and too many wait for it already")]
    TooManyWait,
    /// The event cannot be written as JSON.
    #[error("cannot publish the event: {0}")]
    Invalid(#[from] serde_json::Error),
    /// The event's subject does not contain its account.
    #[error("cannot publish the event: invalid subject: expected accounts/<account id> or installation, got `{0}`")]
    NoAccount(String),
}

impl Error {
    /// Whether the same may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Refused(_))
    }
}

impl Stream {
    /// Connects in the background and retries forever, so that no role waits for NATS to start.
    ///
    /// # Errors
    /// Fails if the settings are invalid, for example if the credentials file is missing.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let options = async_nats::ConnectOptions::new()
            .name("dbt-api")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(Duration::from_secs(5)))
            .reconnect_delay_callback(|attempts| Duration::from_millis(100 * attempts.min(10) as u64));
        let options = match settings.login.clone() {
            None => options,
            Some(Login::Password { user, password }) => options.user_and_password(user, password),
            Some(Login::Token(token)) => options.token(token),
            Some(Login::CredentialsFile(file)) => options
                .credentials_file(&file)
                .await
                .map_err(|error| Error::Credentials { file, error })?,
        };
        let options = match settings.root_certificate.clone() {
            None => options,
            // Setting an authority means that TLS is required.
            Some(file) => options.add_root_certificates(file).require_tls(true),
        };
        let client = options
            .connect(settings.servers.as_slice())
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self {
            jetstream: jetstream::new(client.clone()),
            client,
            replicas: settings.replicas,
            not_created: Arc::default(),
        })
    }

    /// Checks that the client is connected and JetStream answers. A stream that is missing is created when it is needed.
    ///
    /// # Errors
    /// Fails if NATS is unavailable or refuses, or if it refused to create the stream the last time.
    pub async fn check(&self) -> Result<(), Error> {
        self.ensure_connected()?;
        // Do not use the account's statistics: async-nats cannot parse those of NATS 2.9, which Debian ships.
        match self.jetstream.get_stream(STREAM).await {
            Err(error) if !is_absent(&error) => Err(self.failed(&error)),
            Err(_) => match self.not_created().clone() {
                Some(refusal) => Err(Error::Refused(refusal)),
                None => Ok(()),
            },
            Ok(_) => Ok(()),
        }
    }

    /// Creates the stream if it is missing. One that exists is not changed.
    ///
    /// # Errors
    /// Fails if NATS is unavailable or refuses.
    pub async fn prepare(&self) -> Result<(), Error> {
        match self.jetstream.get_stream(STREAM).await {
            Ok(_) => Ok(()),
            Err(_) => self.make().await.map(drop),
        }
    }

    fn not_created(&self) -> MutexGuard<'_, Option<String>> {
        self.not_created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ensure_connected(&self) -> Result<(), Error> {
        if self.is_connected() {
            Ok(())
        } else {
            Err(Error::Unavailable("not connected".to_owned()))
        }
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Converts an error, which is a refusal only while the client is connected.
    fn failed(&self, error: &dyn Display) -> Error {
        if self.is_connected() {
            Error::Refused(error.to_string())
        } else {
            Error::Unavailable(error.to_string())
        }
    }

    /// Returns the stream, which it creates if it is missing. What an operator changed is kept, such as replicas, placement and limits: only what
    /// dbt-api needs is updated. An update that does not name the replicas would reduce them to one (NATS 2.15).
    async fn make(&self) -> Result<stream::Stream, Error> {
        match self.jetstream.get_stream(STREAM).await {
            Ok(stream) => {
                if let Some(needed) = self.with_what_is_needed(&stream.cached_info().config) {
                    // Such as more replicas than there are servers. It is better to consume than to wait for the sweep.
                    if let Err(error) = self.jetstream.update_stream(needed).await {
                        tracing::warn!(%error, "cannot update the stream of NATS");
                    }
                }
                Ok(stream)
            }
            Err(error) if is_absent(&error) => {
                let config = stream::Config {
                    name: STREAM.to_owned(),
                    description: Some("Events of dbt-api. A copy: the truth is the journal in the bucket.".to_owned()),
                    subjects: vec![SUBJECTS.to_owned()],
                    max_age: MAX_AGE,
                    duplicate_window: DUPLICATES,
                    storage: stream::StorageType::File,
                    num_replicas: self.replicas.unwrap_or(1),
                    ..stream::Config::default()
                };
                let created = self.jetstream.create_stream(config).await;
                *self.not_created() = created.as_ref().err().map(ToString::to_string);
                created.map_err(|error| self.failed(&error))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Returns the configuration of the stream with what dbt-api needs, or `None` if it has that.
    fn with_what_is_needed(&self, config: &stream::Config) -> Option<stream::Config> {
        let mut needed = config.clone();
        if !needed.subjects.iter().any(|subject| subject == SUBJECTS) {
            needed.subjects.push(SUBJECTS.to_owned());
        }
        let longest = if needed.max_age.is_zero() {
            DUPLICATES
        } else {
            needed.max_age
        };
        needed.duplicate_window = needed.duplicate_window.max(DUPLICATES.min(longest));
        needed.num_replicas = self.replicas.unwrap_or(needed.num_replicas);
        (needed != *config).then_some(needed)
    }
}

/// Whether the stream is missing, which is not an error: the first process that needs it creates it.
fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Returns the NATS subject of an event: `dbt.events.<account id>.<type>`.
fn subject_of(event: &Event) -> Result<String, Error> {
    if event.subject == schemas::INSTALLATION {
        return Ok(format!("dbt.events.{}.{}", event.subject, event.kind));
    }
    let account = event.account().ok_or_else(|| Error::NoAccount(event.subject.clone()))?;
    Ok(format!("dbt.events.{account}.{}", event.kind))
}
