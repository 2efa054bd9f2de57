//! Reads the body of an upload within limits of size and time, no faster than it can be processed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use edge::UploadError;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

/// The maximum number of bytes between two parts of a form: the headers of a part, or the preamble before the first. The form reader keeps
/// all of them in memory. A chunk from the socket has at most about 400 KiB.
const MAX_BETWEEN_PARTS: u64 = 1 << 20;

/// How many bytes of an upload must arrive before it is read, unless it is shorter.
const BEGIN: u64 = 64 << 10;

/// How long to wait for these bytes, so that a client that dribbles does not hold a connection forever.
const MAX_BEGIN_WAIT: Duration = Duration::from_secs(5);

/// How many bytes of a refused upload are still read.
const MAX_DRAINED: u64 = 8 << 20;

/// How many bytes of the beginning of a refused upload are returned. A form's parameters usually come before its file.
const MAX_BEGINNING: usize = 16 << 10;

/// How long a refused upload is still read.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(2);

/// The body of a request. Clones share the same stream, so that one reader can continue where another stopped.
#[derive(Clone)]
pub(crate) struct ClientBody(Arc<Mutex<Incoming>>);

struct Incoming {
    stream: BodyDataStream,
    /// The number of bytes that may still arrive.
    left: u64,
    /// How many bytes came since the form reader last reached or read a part.
    between_parts: u64,
    /// Whether to return `Pending` next, because a chunk was just returned.
    yielding: bool,
    /// The bytes that came before the upload was read.
    begin: BytesMut,
    /// How many bytes came in total.
    received: u64,
    /// Whether the last byte has come.
    ended: bool,
    /// When the current wait for the client began, if there is one.
    waiting_since: Option<Instant>,
    /// How long earlier waits for the client took.
    waited: Duration,
}

/// Returns the head of a request whose body is not needed. The body is drained first, like [`ClientBody::drain`] does.
pub(crate) async fn head_of(request: Request) -> Parts {
    let (head, body) = request.into_parts();
    ClientBody::new(body, 0).drain().await;
    head
}

/// A body that is too large. The readers answer a whole body that is too large with the limit of the setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("the upload is too large")]
    Body,
    #[error("invalid form: expected at most {MAX_BETWEEN_PARTS} bytes between two parts, got more")]
    BetweenParts,
}

impl ClientBody {
    /// Wraps a body that may have at most `limit` bytes.
    pub(crate) fn new(body: Body, limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Incoming {
            stream: body.into_data_stream(),
            left: limit,
            between_parts: 0,
            yielding: false,
            begin: BytesMut::new(),
            received: 0,
            ended: false,
            waiting_since: None,
            waited: Duration::ZERO,
        })))
    }

    /// Waits until the beginning of the body or all of it has come, but no longer than [`MAX_BEGIN_WAIT`], so that a client that stalls early
    /// does not keep others waiting. Fails if the client sends nothing for `idle_timeout` or disconnects.
    pub(crate) async fn await_begin(&self, idle_timeout: Duration) -> Result<(), UploadError> {
        let coming = async {
            while !self.has_begun() {
                let next = std::future::poll_fn(|context| self.incoming(|incoming| incoming.next(context)));
                match tokio::time::timeout(idle_timeout, next).await {
                    Err(_) => return Err(UploadError::timeout()),
                    Ok(None) => {}
                    Ok(Some(Err(error))) => {
                        return Err(UploadError::bad_request(format!(
                            "the upload ended before it was complete: {error}"
                        )));
                    }
                    // Copied, so that many small pieces take no more memory than a few large ones.
                    Ok(Some(Ok(chunk))) => self.incoming(|incoming| incoming.begin.extend_from_slice(&chunk)),
                }
            }
            Ok(())
        };
        tokio::time::timeout(MAX_BEGIN_WAIT, coming).await.unwrap_or(Ok(()))
    }

    /// Whether the beginning of the body has come, or all of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.incoming(|incoming| incoming.ended || incoming.received >= BEGIN)
    }

    /// How many bytes have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.incoming(|incoming| incoming.received)
    }

    /// How long the server has waited for the client. The time spent on processing chunks and after the end does not count.
    pub(crate) fn waited(&self) -> Duration {
        self.incoming(|incoming| {
            let now = incoming.waiting_since.map(|since| since.elapsed());
            incoming.waited + now.unwrap_or_default()
        })
    }

    /// Returns the body in the form that axum's extractors read.
    pub(crate) fn chunks(&self) -> Body {
        Body::from_stream(self.clone())
    }

    /// Must be called whenever a part of the form is reached, or a chunk of it is read.
    pub(crate) fn made_progress(&self) {
        self.incoming(|incoming| incoming.between_parts = 0);
    }

    /// Reads and discards the rest for a while. A client that is still sending would otherwise see a broken connection instead of the
    /// answer. Returns the beginning of the body, or nothing if some of it was read before.
    pub(crate) async fn drain(mut self) -> Bytes {
        let is_unread = self.incoming(|incoming| {
            incoming.left = MAX_DRAINED;
            incoming.received == incoming.begin.len() as u64
        });
        let room = if is_unread { MAX_BEGINNING } else { 0 };
        let mut beginning = BytesMut::new();
        let rest = async {
            while let Some(Ok(chunk)) = self.next().await {
                self.made_progress();
                beginning.extend_from_slice(&chunk[..chunk.len().min(room - beginning.len())]);
            }
        };
        // The answer is the same whether all was read or time ran out.
        tokio::time::timeout(MAX_DRAIN_TIME, rest).await.ok();
        beginning.freeze()
    }

    fn incoming<T>(&self, act: impl FnOnce(&mut Incoming) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stream for ClientBody {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming(|incoming| incoming.poll(context))
    }
}

impl Incoming {
    /// Polls the next chunk from the socket.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let Poll::Ready(next) = self.stream.poll_next_unpin(context) else {
            self.waiting_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        self.waited += self
            .waiting_since
            .take()
            .map(|since| since.elapsed())
            .unwrap_or_default();
        match &next {
            Some(Ok(chunk)) => self.received += chunk.len() as u64,
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(next)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        // The form reader takes and keeps chunks for as long as they are ready, so a fast client would fill the memory. Returning
        // `Pending` after each chunk prevents that.
        if std::mem::take(&mut self.yielding) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = if self.begin.is_empty() {
            match std::task::ready!(self.next(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(chunk)) => chunk,
            }
        } else {
            self.begin.split().freeze()
        };
        let size = chunk.len() as u64;
        self.between_parts += size;
        if size > self.left {
            return Poll::Ready(Some(Err(TooLarge::Body.into())));
        }
        if self.between_parts > MAX_BETWEEN_PARTS {
            return Poll::Ready(Some(Err(TooLarge::BetweenParts.into())));
        }
        self.left -= size;
        self.yielding = true;
        Poll::Ready(Some(Ok(chunk)))
    }
}
