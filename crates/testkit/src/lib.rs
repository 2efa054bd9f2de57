#![doc = include_str!("../README.md")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

pub mod airflow;
pub mod conformance;
mod database;
mod events;
mod gate;
pub mod nats;
mod pooler;
pub mod s3;
mod service;
mod shared;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clock::Clock;

pub use database::{Database, has_partitions};
pub use events::deletion;
pub use gate::{Gate, Passage};
pub use pooler::Pooler;
pub use service::{PATIENCE, Service, run_command, try_command};
pub use shared::shared_folder;
pub use wire::Wire;

/// Everything that one installation needs, in its own folders and on its own ports.
pub struct System {
    /// The PostgreSQL database.
    pub database: Database,
    /// The NATS server with JetStream.
    pub nats: nats::NatsServer,
    storage: tempfile::TempDir,
    /// Settings that extend or replace the usual ones.
    pub variables: Vec<(String, String)>,
}

impl System {
    /// Starts all parts.
    pub async fn start() -> Self {
        // The client of the tests needs TLS as much as the program does.
        ::service::install_tls();
        Self {
            database: Database::create().await,
            nats: nats::NatsServer::start().await,
            storage: tempfile::tempdir().expect("creates a folder"),
            variables: Vec::new(),
        }
    }

    /// The folder that contains the bucket.
    #[must_use]
    pub fn storage(&self) -> &Path {
        self.storage.path()
    }

    /// Returns the settings as environment variables. If a variable is repeated, the last value counts.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let storage = self.storage().to_string_lossy().into_owned();
        [
            ("STORAGE_ADAPTER", "local".to_owned()),
            ("STORAGE_PATH", storage),
            ("DB_URL", self.database.url()),
            ("NATS_URL", self.nats.url()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(self.variables.iter().cloned())
        .collect()
    }
}

/// Calls `ask` until it returns an answer.
///
/// # Panics
/// Panics if there is no answer within [`PATIENCE`].
pub async fn wait_until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the path of a file in the repository.
#[must_use]
pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn unique_name(prefix: &str) -> String {
    format!("{prefix}{}", Clock::System.new_id(Clock::System.now()).simple())
}
