//! A proxy in front of PostgreSQL that drops the startup parameter `options`, as PgBouncer 1.18 and 1.25 do with
//! `ignore_startup_parameters = options`.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::Database;

/// The longest startup message that PostgreSQL accepts, in bytes.
const MAX_STARTUP: usize = 10_000;

/// A local port that forwards to PostgreSQL.
pub struct Pooler {
    /// The address, such as `127.0.0.1:40123`.
    pub address: String,
}

impl Pooler {
    /// Starts in front of the database's server.
    ///
    /// # Panics
    /// Panics if there is no free port.
    pub async fn before(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("has an address").to_string();
        let server = database.address();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone()));
            }
        });
        Self { address }
    }
}

async fn pass(mut client: TcpStream, server: String) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let length = client.read_u32().await? as usize;
    if !(8..MAX_STARTUP).contains(&length) {
        return Ok(());
    }
    let mut message = vec![0; length - 4];
    client.read_exact(&mut message).await?;
    let message = without_options(&message);
    server
        .write_u32(u32::try_from(message.len() + 4).unwrap_or(u32::MAX))
        .await?;
    server.write_all(&message).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Removes the parameter from a startup message: a version, then names and values that end with a zero byte.
fn without_options(message: &[u8]) -> Vec<u8> {
    let (version, parameters) = message.split_at(4);
    let texts: Vec<&[u8]> = parameters.split(|byte| *byte == 0).collect();
    let kept = texts
        .chunks_exact(2)
        .take_while(|pair| !pair[0].is_empty())
        .filter(|pair| pair[0] != b"options");
    let mut kept: Vec<u8> = kept
        .flat_map(|pair| [pair[0], b"\0", pair[1], b"\0"].concat())
        .collect();
    kept.push(0);
    [version, &kept].concat()
}
