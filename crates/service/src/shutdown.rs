//! Shuts down on signals.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal.
const ABORTED: i32 = 130;

/// Returns a token that the first SIGTERM or SIGINT cancels, so that work in progress is finished. The second signal ends the process at
/// once.
///
/// # Errors
/// Fails if the system does not allow listening for signals.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if cancelled.is_cancelled() {
                tracing::warn!("received a second signal; stopping at once");
                std::process::exit(ABORTED);
            }
            tracing::info!("stopping; finishing work in progress");
            cancelled.cancel();
        }
    });
    Ok(token)
}
