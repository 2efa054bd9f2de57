//! The end of a process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice to stop.
const ABORTED: i32 = 130;

/// A token that the first SIGTERM or SIGINT cancels: then everyone finishes what was begun. The second ends the process at once.
///
/// # Errors
/// When the system lets nobody listen to signals.
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
                tracing::warn!("told twice to stop: stopping at once");
                std::process::exit(ABORTED);
            }
            tracing::info!("stopping: finishing what was begun");
            cancelled.cancel();
        }
    });
    Ok(token)
}
