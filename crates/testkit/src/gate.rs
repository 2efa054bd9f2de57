//! A gate before a server: what goes through it can be cut, refused or left without an answer.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a gate does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Lets them through.
    Open,
    /// Cuts them, and those that come, at once: a server that was stopped.
    Closed,
    /// Takes them and never answers: a server that hangs, or a network that drops packets.
    Silent,
}

/// A port of this machine behind which another server is.
pub struct Gate {
    /// Such as `127.0.0.1:40123`.
    pub address: String,
    passage: Arc<watch::Sender<Passage>>,
}

impl Gate {
    /// Opens a gate before this address.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("has an address").to_string();
        let passage = Arc::new(watch::Sender::new(Passage::Open));
        let told = Arc::clone(&passage);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), told.subscribe()));
            }
        });
        Self { address, passage }
    }

    /// From now on, also for the connections that there are.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn pass(mut client: TcpStream, server: String, mut passage: watch::Receiver<Passage>) {
    let now = *passage.borrow();
    match now {
        Passage::Closed => return,
        // Until something else is told.
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
        // Both ends are held, and nothing goes through.
        let _ = passage.wait_for(|passage| *passage != Passage::Silent).await;
    }
}
