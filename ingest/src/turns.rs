//! Limits how many uploads are read at once, because each takes memory. Clients that stall do not keep others waiting.

use std::time::Duration;

use edge::{Cause, Needed, Queue, UploadError};
use tokio::sync::OwnedSemaphorePermit;

use crate::body::ClientBody;

/// The maximum time that an upload waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The maximum number of waiting uploads for each one that is read.
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
    queue: Queue,
}

impl Turns {
    /// Allows this many uploads at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            queue: Queue::new(at_once, at_once.saturating_mul(WAITING_PER_TURN)),
        }
    }

    /// Waits for the beginning of this body, up to `idle_timeout`, and then for a turn to read it. The turn ends when the permit is dropped. A
    /// body whose beginning did not arrive in time gets a turn only if one is free, so that slow clients do not queue ahead of others.
    pub(crate) async fn admit(
        &self,
        body: &ClientBody,
        idle_timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, UploadError> {
        body.await_begin(idle_timeout).await?;
        if !body.has_begun() {
            return self.queue.try_enter().ok_or_else(UploadError::timeout);
        }
        let turn = self.queue.enter(MAX_WAIT).await;
        turn.ok_or_else(|| {
            let cause = Cause("too many uploads at once; MAX_UPLOADS sets the limit");
            UploadError::unavailable(Needed::Turn, &cause)
        })
    }

    /// Waits for a turn for a complete upload. It is never refused, however long this takes.
    pub(crate) async fn take_whole(&self) -> Result<OwnedSemaphorePermit, UploadError> {
        let turn = self.queue.enter_patiently().await;
        turn.ok_or_else(|| UploadError::internal(&"the service is stopping"))
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
                let others_wait = self.queue.waiting() > 0;
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
        let _first = turns.take_whole().await;
        let waiting = turns.clone();
        let _other = tokio::spawn(async move { waiting.take_whole().await });
        while turns.queue.waiting() == 0 {
            tokio::task::yield_now().await;
        }
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
