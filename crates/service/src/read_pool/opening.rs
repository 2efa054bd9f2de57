//! Opens and prepares the connections of a pool for reads, in the background.

use std::sync::Weak;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::{Kept, REST, Shared, WarmUp, end};
use crate::session::Session;

/// How long opening and preparing a connection may take before it is tried again.
const MAX_OPEN: Duration = Duration::from_secs(30);

/// The first and the longest wait before the next attempt to open a connection.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Opens the connections that are missing, one after the other, until the pool is dropped.
pub(super) async fn keep(pool: Weak<Shared>, warm_up: WarmUp, mut missing: UnboundedReceiver<()>) {
    loop {
        match timeout(REST, missing.recv()).await {
            Ok(Some(())) => {
                let Some(kept) = open(&pool, warm_up).await else {
                    return;
                };
                let Some(pool) = pool.upgrade() else { return };
                pool.give(kept);
            }
            Ok(None) => return,
            Err(_) => {
                let Some(pool) = pool.upgrade() else { return };
                pool.maintain().await;
            }
        }
    }
}

/// Opens and prepares a connection, and tries until it succeeds. Returns `None` if the pool was dropped.
async fn open(pool: &Weak<Shared>, warm_up: WarmUp) -> Option<Kept> {
    let mut wait = RETRY.0;
    loop {
        let shared = pool.upgrade()?;
        // Before the server is looked up: if another one is used meanwhile, the connection counts as one to the former.
        let begun = Instant::now();
        let (options, session, beginning) = (shared.options(), shared.session.clone(), shared.beginning());
        drop(shared);
        let opened = timeout(MAX_OPEN, open_once(&options, &session, beginning, begun, warm_up)).await;
        let shared = pool.upgrade()?;
        let trouble = match opened {
            Ok(Ok(kept)) => {
                *shared.trouble() = None;
                return Some(kept);
            }
            Ok(Err(sqlx::Error::Io(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("opening a connection takes longer than {} s", MAX_OPEN.as_secs()),
        };
        if wait == RETRY.0 {
            tracing::warn!(error = trouble, "cannot open a connection for reads");
        }
        *shared.trouble() = Some(trouble);
        drop(shared);
        sleep(wait).await;
        wait = RETRY.1.min(wait * 2);
    }
}

async fn open_once(
    options: &PgConnectOptions,
    session: &Session,
    beginning: String,
    begun: Instant,
    warm_up: WarmUp,
) -> sqlx::Result<Kept> {
    let connecting = PgConnection::connect_with(options).await;
    let mut connection = connecting.map_err(|error| session.explained(error))?;
    let connected = Instant::now();
    session.check(&mut connection).await?;
    let backend = session.process(&mut connection).await?;
    match warm_up(&mut connection, beginning).await {
        // The tables may not be there yet. The requests say so better than a missing connection does.
        Err(sqlx::Error::Database(error)) => tracing::debug!(%error, "cannot prepare a connection for reads"),
        prepared => prepared?,
    }
    end(&mut connection).await?;
    Ok(Kept {
        connection,
        backend,
        opened: begun,
        connected,
        used: Instant::now(),
    })
}
