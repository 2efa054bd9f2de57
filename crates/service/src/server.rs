//! The listener.

use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests that were begun may go on after the shutdown began.
const DRAIN: Duration = Duration::from_secs(30);

/// Answers requests until the shutdown, and then those that were begun.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let listener = listener.tap_io(|connection| {
        // Answers are written whole; waiting to fill packets would only delay them.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let signal = shutdown.clone().cancelled_owned();
    let serving = axum::serve(listener, router).with_graceful_shutdown(signal);
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = serving.into_future() => result,
        () = overdue => {
            tracing::warn!("some requests did not end in time and are cut off");
            Ok(())
        }
    }
}
