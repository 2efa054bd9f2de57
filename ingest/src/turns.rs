//! Limits how many uploads are read at once, because each takes memory. Clients that stall do not keep others waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::{Needed, UploadError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::body::ClientBody;

/// How long an upload may wait for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How many uploads may wait for each one that is read. Others are refused at once, which is better than letting all of them wait in vain.
const WAITING_PER_TURN: usize = 4;

/// How many bytes an upload must send within [`PACE_PERIOD`] while others wait.
const PACE: u64 = 32 << 10;

/// The period over which the pace is measured.
const PACE_PERIOD: Duration = Duration::from_secs(1);

/// How much of the period the server must have spent waiting for the client. If the server's disk or threads are slow, that is not the
/// client's fault.
const WAITED_FOR: Duration = Duration::from_millis(500);

/// Hands out turns to uploads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Turns {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

/// Counts an upload as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    /// Allows this many uploads at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::default(),
            max_waiting: at_once.saturating_mul(WAITING_PER_TURN),
        }
    }

    /// Waits for a turn to read this body. The turn ends when the permit is dropped. A body whose beginning did not arrive in time gets a
    /// turn only if one is free, so that slow clients do not queue ahead of others.
    pub(crate) async fn take(&self, body: &ClientBody) -> Result<OwnedSemaphorePermit, UploadError> {
        if !body.has_begun() {
            return Arc::clone(&self.turns)
                .try_acquire_owned()
                .map_err(|_| UploadError::timeout());
        }
        let busy = || UploadError::unavailable(Needed::Turn, &"too many uploads at once; MAX_UPLOADS sets the limit");
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(busy());
        }
        let _waiting = Waiting(&self.waiting);
        match timeout(MAX_WAIT, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(busy()),
        }
    }

    /// Waits for a turn for a complete upload. It is never refused, however long this takes.
    pub(crate) async fn take_whole(&self) -> Result<OwnedSemaphorePermit, UploadError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|error| UploadError::internal(&error))
    }

    /// Reads an upload with `read`, but fails if it arrives so slowly that it keeps others waiting.
    pub(crate) async fn unless_slow<T>(
        &self,
        body: &ClientBody,
        read: impl Future<Output = Result<T, UploadError>>,
    ) -> Result<T, UploadError> {
        let slow = async {
            loop {
                let (received, waited) = (body.received(), body.waited());
                tokio::time::sleep(PACE_PERIOD).await;
                let others_wait = self.waiting.load(Ordering::Relaxed) > 0;
                if others_wait && body.received() - received < PACE && body.waited() - waited >= WAITED_FOR {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            result = read => result,
            () = slow => Err(UploadError::timeout()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};

    use super::*;

    /// Reads a body with `read` while another upload waits for its turn.
    async fn read_while_others_wait(
        body: Body,
        read: impl AsyncFnOnce(ClientBody) -> Result<(), UploadError>,
    ) -> Result<(), UploadError> {
        let turns = Turns::new(1);
        turns.waiting.store(1, Ordering::Relaxed);
        let body = ClientBody::new(body, 1 << 30);
        turns.unless_slow(&body, read(body.clone())).await
    }

    /// Returns a body of 20 pieces of this size, one per period.
    fn pieces(size: usize, every: Duration) -> Body {
        Body::from_stream(stream::unfold(20, move |left: u32| async move {
            let left = left.checked_sub(1)?;
            tokio::time::sleep(every).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![b' '; size])), left))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_client_can_be_too_slow() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        for (size, every, ours, is_read) in [
            (1, second / 5, Duration::ZERO, false),
            (40 << 10, second * 2 / 5, Duration::ZERO, true),
            // The server's disk or threads are slow.
            (1, Duration::ZERO, minute, true),
            (40 << 10, second * 2 / 5, minute, true),
            (1, second * 5, minute, false),
        ] {
            let read = async |mut body: ClientBody| {
                while body.next().await.is_some() {
                    tokio::time::sleep(ours).await;
                }
                // The body has ended.
                tokio::time::sleep(minute).await;
                Ok(())
            };
            let result = read_while_others_wait(pieces(size, every), read).await;
            assert_eq!(result.is_ok(), is_read, "{size} bytes every {every:?}, ours {ours:?}");
        }
    }
}
