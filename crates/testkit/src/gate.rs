//! A gate in front of a server, which can cut, reject or stall connections.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a gate does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Lets connections through.
    Open,
    /// Cuts open and new connections immediately, like a server that was stopped.
    Closed,
    /// Accepts connections but never answers, like a server that hangs or a network that drops packets.
    Silent,
}

/// A local port that forwards to a server.
pub struct Gate {
    /// The address of the gate, such as `127.0.0.1:40123`.
    pub address: String,
    passage: Arc<watch::Sender<Passage>>,
}

impl Gate {
    /// Opens a gate in front of this address.
    ///
    /// # Panics
    /// Panics if there is no free port.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("has an address").to_string();
        let passage = Arc::new(watch::Sender::new(Passage::Open));
        let receivers = Arc::clone(&passage);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), receivers.subscribe()));
            }
        });
        Self { address, passage }
    }

    /// Changes the passage, also for open connections.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn pass(mut client: TcpStream, server: String, mut passage: watch::Receiver<Passage>) {
    let now = *passage.borrow();
    match now {
        Passage::Closed => return,
        // The connection stays silent until the passage changes.
        Passage::Silent => {
            let _ = passage.wait_for(|passage| *passage != Passage::Silent).await;
            return;
        }
        Passage::Open => {}
    }
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let changed = {
        let copying = copy_bidirectional(&mut client, &mut server);
        tokio::select! {
            _ = copying => return,
            changed = passage.wait_for(|passage| *passage != Passage::Open) => changed.map(|passage| *passage),
        }
    };
    if matches!(changed, Ok(Passage::Silent)) {
        // Both ends stay open, but nothing goes through.
        let _ = passage.wait_for(|passage| *passage != Passage::Silent).await;
    }
}
