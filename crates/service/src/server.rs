//! Serves HTTP requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long requests in progress may continue after the shutdown began.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a client may take for the head of a request, and how long it may be idle between two requests.
const MAX_HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may stop reading its answer. Otherwise the answers of stalled clients would use up the memory and the permits.
const MAX_STALL: Duration = Duration::from_secs(30);

/// The largest head of a request, in bytes. Larger ones are answered with 431.
const MAX_HEAD: usize = 64 << 10;

/// The largest number of headers in a request. More are answered with 431.
const MAX_HEADERS: usize = 100;

/// How many clients may be connected; others wait. This is below the 1,024 open files that many systems allow a process, because uploads and
/// PostgreSQL need some too.
const MAX_CONNECTIONS: usize = 800;

/// How long to wait after a system error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers requests until the shutdown, and then finishes those in progress. Handlers find the address of the client in `ConnectInfo`.
///
/// # Errors
/// Fails if the listener has no address.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((connection, client, permit)) = accepted else {
            continue;
        };
        let mut connection = TimeoutStream::new(connection);
        connection.set_write_timeout(Some(MAX_STALL));
        let router = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(client));
            request
        });
        let service = TowerToHyperService::new(router);
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(MAX_HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Box::pin(connection)), service);
        let serving = graceful.watch(serving);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                // It is normal that clients disconnect.
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((connection, client)) => {
            // Answers are written as a whole, so waiting to fill packets would only delay them.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            Some((connection, client, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}
