//! A NATS server with JetStream of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use crate::wait_until;

/// A `nats-server` with its data in a folder of its own; both are gone when this is dropped.
pub struct NatsServer {
    process: Option<Child>,
    port: u16,
    data: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Panics
    /// When `nats-server` is not installed or does not start.
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("has an address").port();
        drop(free);
        let mut server = Self {
            process: None,
            port,
            data: tempfile::tempdir().expect("makes a folder"),
        };
        server.restart().await;
        server
    }

    /// Starts it again after [`NatsServer::stop`], on the same port.
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    pub async fn restart(&mut self) {
        let process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed; `./dev test` installs it");
        self.process = Some(process);
        let port = self.port;
        wait_until("NATS listens", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
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
        let jetstream = self.data.path().join("jetstream");
        if jetstream.exists() {
            std::fs::remove_dir_all(jetstream).expect("removes the data");
        }
    }

    /// For `NATS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
