//! Events over NATS JetStream: one stream, one durable consumer that all projectors share.
//!
//! The stream is a nerve and no store: what it loses, the projectors find in the journal. So it may be wiped at any time; whoever publishes
//! or consumes next makes it anew.

mod consume;
mod publish;
mod settings;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::{self, ErrorCode, stream};
use schemas::{AccountId, Event};

pub use consume::{Message, Messages};
pub use settings::Settings;

use crate::settings::Login;

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
    #[error("NATS does not answer ({0}); check NATS_URL, its login, and that the server runs")]
    Unavailable(String),
    /// It answers, and refuses.
    #[error("NATS refuses ({0}); check that JetStream is enabled and that the user may use it")]
    Refused(String),
    /// The file that holds the login cannot be used.
    #[error("NATS_CREDENTIALS_FILE={file} cannot be used ({error}); make it anew with `nsc generate creds`")]
    Credentials {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The event cannot be written as JSON.
    #[error("the event cannot be published: {0}")]
    Invalid(#[from] serde_json::Error),
    /// The event does not say to which account it belongs.
    #[error("the event cannot be published: its subject is `{0}` where accounts/<account id> is due")]
    NoAccount(String),
}

impl Stream {
    /// Begins to connect, and goes on trying for ever: no role waits for NATS in order to start.
    ///
    /// # Errors
    /// When the settings cannot be used, such as a credentials file that is not there.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let options = async_nats::ConnectOptions::new()
            .name("dbt-api")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(Duration::from_secs(5)))
            .reconnect_delay_callback(|attempts| Duration::from_millis(100 * attempts.min(20) as u64));
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
            // Who names an authority wants nothing else.
            Some(file) => options.add_root_certificates(file).require_tls(true),
        };
        let client = options
            .connect(settings.servers.as_slice())
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self {
            jetstream: jetstream::new(client.clone()),
            client,
        })
    }

    /// Is there a connection, and does JetStream answer?
    ///
    /// # Errors
    /// When not.
    pub async fn check(&self) -> Result<(), Error> {
        if !self.is_connected() {
            return Err(Error::Unavailable("not connected".to_owned()));
        }
        // Not by the account's figures: async-nats does not understand those of NATS 2.9, which Debian has.
        match self.jetstream.get_stream(STREAM).await {
            Err(error) if !is_absent(&error) => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Without a connection nobody has refused.
    fn failed(&self, error: &dyn Display) -> Error {
        if self.is_connected() {
            Error::Refused(error.to_string())
        } else {
            Error::Unavailable(error.to_string())
        }
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
        let made = self.jetstream.create_or_update_stream(config).await;
        made.map_err(|error| self.failed(&error))?;
        let stream = self.jetstream.get_stream(STREAM).await;
        stream.map_err(|error| self.failed(&error))
    }
}

/// A stream that is absent is made by whoever needs it first.
fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// `dbt.events.<account id>.<type>`
fn subject_of(event: &Event) -> Result<String, Error> {
    let account: Option<AccountId> = event.subject.strip_prefix("accounts/").and_then(|id| id.parse().ok());
    let account = account.ok_or_else(|| Error::NoAccount(event.subject.clone()))?;
    Ok(format!("dbt.events.{account}.{}", event.kind))
}
