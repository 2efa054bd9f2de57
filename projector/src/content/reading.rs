//! What the readers of all kinds of files share.

use crate::ApplyError;

/// The files of an upload that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The files that were not read before.
    WhatIsNew,
    /// All files. Their content replaces what was read before.
    Everything,
}

/// Runs work that keeps a core busy on a separate thread.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
) -> Result<T, ApplyError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| ApplyError::Rejected(format!("reading the file failed: {panic}")))?
}

pub(crate) fn rejected(error: impl std::fmt::Display) -> ApplyError {
    ApplyError::Rejected(error.to_string())
}
