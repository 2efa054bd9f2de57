//! A NATS server with JetStream for a single test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::wait_until;

/// A `nats-server` with its data in its own folder. Dropping it stops the server and deletes the folder.
pub struct NatsServer {
    process: Option<Child>,
    /// The port, chosen by the server at its first start, so that no two tests choose the same one.
    port: Option<u16>,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Panics
    /// Panics if `nats-server` is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with additional arguments, such as `--user` and `--pass`.
    ///
    /// # Panics
    /// Panics in the same cases as [`NatsServer::start`].
    pub async fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            port: None,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            folder: tempfile::tempdir().expect("creates a folder"),
        };
        server.restart().await;
        server
    }

    /// Starts the server again after [`NatsServer::stop`], on the same port.
    ///
    /// # Panics
    /// Panics in the same cases as [`NatsServer::start`].
    pub async fn restart(&mut self) {
        let mut process = self.spawn();
        // The server writes this file once it listens.
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
        // With -1, the server chooses any free port.
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

    /// Kills the server. Its data is kept.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Stops the server without closing its connections: it answers nothing until [`NatsServer::resume`].
    ///
    /// # Panics
    /// Panics if the server does not run.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused server answer again.
    ///
    /// # Panics
    /// Panics if the server does not run.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("runs");
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.expect("starts kill").success());
    }

    /// Removes the data of a stopped server.
    ///
    /// # Panics
    /// Panics if the folder cannot be removed.
    pub fn wipe(&self) {
        let jetstream = self.folder.path().join("jetstream");
        if jetstream.exists() {
            std::fs::remove_dir_all(jetstream).expect("removes the data");
        }
    }

    /// Returns the server's address, `127.0.0.1:<port>`.
    ///
    /// # Panics
    /// Never panics, because the server was started.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.expect("was started"))
    }

    /// Returns the URL for `NATS_URL`.
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
