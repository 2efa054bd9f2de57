//! What tests need: a database, a NATS server and a bucket of their own, and the program that uses them. For tests only, so it panics.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

pub mod airflow;
pub mod conformance;
mod database;
mod gate;
pub mod nats;
pub mod s3;
mod service;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clock::Clock;

pub use database::Database;
pub use gate::{Gate, Passage};
pub use service::{PATIENCE, Service, run_command, try_command};

/// All that one installation needs, in folders and on ports of its own.
pub struct System {
    /// PostgreSQL.
    pub database: Database,
    /// NATS with JetStream.
    pub nats: nats::NatsServer,
    storage: tempfile::TempDir,
    /// Settings beside the usual ones, or in place of them.
    pub variables: Vec<(String, String)>,
}

impl System {
    /// Starts it all.
    pub async fn start() -> Self {
        // The tests' own client needs it as much as the program does.
        ::service::install_tls();
        Self {
            database: Database::create().await,
            nats: nats::NatsServer::start().await,
            storage: tempfile::tempdir().expect("makes a folder"),
            variables: Vec::new(),
        }
    }

    /// The folder of the bucket.
    #[must_use]
    pub fn storage(&self) -> &Path {
        self.storage.path()
    }

    /// The settings as environment variables; of those that are there twice, the last counts.
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

/// Asks until there is an answer.
///
/// # Panics
/// When none comes within [`PATIENCE`].
pub async fn wait_until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A file of the repository.
#[must_use]
pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn unique_name(prefix: &str) -> String {
    format!("{prefix}{}", Clock::System.new_id(Clock::System.now()).simple())
}
