//! The listener.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// How long requests that were begun may go on after the shutdown began.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a client may take for the head of a request, and say nothing between two requests.
const MAX_HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may take nothing of its answer. The answers of those who take none would fill what there is room for.
const MAX_STALL: Duration = Duration::from_secs(30);

/// The most bytes of a request's head. What is longer is answered with 431.
const LARGEST_HEAD: usize = 64 << 10;

/// The most headers of a request. More are answered with 431.
const MAX_HEADERS: usize = 100;

/// How many clients may be connected. Below the 1,024 files that many systems let a process have, since uploads and PostgreSQL need some too;
/// others wait until one leaves.
const MAX_CONNECTIONS: usize = 800;

/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers requests until the shutdown, and then those that were begun.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((connection, place)) = accepted else { continue };
        let mut connection = TimeoutStream::new(connection);
        connection.set_write_timeout(Some(MAX_STALL));
        let service = TowerToHyperService::new(router.clone());
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(MAX_HEAD_TIME)
            .max_buf_size(LARGEST_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Box::pin(connection)), service);
        let serving = graceful.watch(serving);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                // Clients that leave are everyday life.
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((connection, _)) => {
            // Answers are written whole; waiting to fill packets would only delay them.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            Some((connection, place))
        }
        Err(error) => {
            tracing::warn!(%error, "no connection can be accepted");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}
