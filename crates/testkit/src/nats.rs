//! A NATS server with JetStream of a test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::wait_until;

/// A `nats-server` with its data in a folder of its own; both are gone when this is dropped.
pub struct NatsServer {
    process: Option<Child>,
    /// Chosen by the server at its first start, so that no two tests choose the same.
    port: Option<u16>,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Panics
    /// When `nats-server` is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more arguments, such as `--user` and `--pass`.
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    pub async fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            port: None,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            folder: tempfile::tempdir().expect("makes a folder"),
        };
        server.restart().await;
        server
    }

    /// Starts it again after [`NatsServer::stop`], on the same port.
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    pub async fn restart(&mut self) {
        let mut process = self.spawn();
        // The server writes this file when it listens.
        let ports = self.folder.path().join(format!("nats-server_{}.ports", process.id()));
        let port = wait_until("NATS listens", async || {
            if let Ok(Some(status)) = process.try_wait() {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                panic!("nats-server ended with {status}: {log}");
            }
            let ports: Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
            ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
        })
        .await;
        self.port = Some(port);
        self.process = Some(process);
    }

    fn spawn(&self) -> Child {
        // -1: any that is free.
        let port = self.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream"])
            .arg("--store_dir")
            .arg(self.folder.path())
            .arg("--ports_file_dir")
            .arg(self.folder.path())
            .arg("--log")
            .arg(self.log())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed; `./dev test` installs it")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Kills it; its data stays.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Removes the data of a stopped server.
    ///
    /// # Panics
    /// When the folder cannot be removed.
    pub fn wipe(&self) {
        let jetstream = self.folder.path().join("jetstream");
        if jetstream.exists() {
            std::fs::remove_dir_all(jetstream).expect("removes the data");
        }
    }

    /// `127.0.0.1:<port>`
    ///
    /// # Panics
    /// Never: it was started.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.expect("was started"))
    }

    /// For `NATS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
