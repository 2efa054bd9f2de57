//! A port in front of PostgreSQL, which records what a client asks.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A local port that forwards to PostgreSQL and records each round trip.
pub struct Wire {
    /// The address of the port, such as `127.0.0.1:40123`.
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    /// Opens a port in front of this address.
    ///
    /// # Panics
    /// Panics if there is no free port.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("has an address").to_string();
        let asked = Arc::default();
        let recorded = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), Arc::clone(&recorded)));
            }
        });
        Self { address, asked }
    }

    /// Returns what was sent in each round trip so far, the earliest first, and forgets it. What is sent while no answer has arrived is one
    /// round trip. Statements can be read in it, unless they were prepared before.
    ///
    /// # Panics
    /// Panics only if another thread panicked.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

async fn forward(mut client: TcpStream, server: String, asked: Arc<Mutex<Vec<String>>>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut waits = false;
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                {
                    let text = String::from_utf8_lossy(&sent[..length]);
                    let mut asked = asked.lock().expect("no panic");
                    match asked.last_mut().filter(|_| waits) {
                        Some(last) => *last += &text,
                        None => asked.push(text.into_owned()),
                    }
                }
                waits = true;
                if server.write_all(&sent[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                waits = false;
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}
