//! The body of an upload as it comes from the client: read at the client's pace and ours, within limits of size and time.

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

/// How much may come between two parts of a form: the headers of a part, or what stands before the first. The form's reader keeps
/// all of it in memory. A chunk from the socket has at most some 400 KiB.
const MAX_BETWEEN_PARTS: u64 = 1 << 20;

/// How much of an upload has to come before it is read, if it has as much.
const BEGIN: u64 = 64 << 10;

/// How long that is waited for: who dribbles must not hold a connection for ever.
const MAX_BEGIN_WAIT: Duration = Duration::from_secs(5);

/// How much of a refused upload is still read.
const MAX_DRAINED: u64 = 8 << 20;

/// How long a refused upload is still read.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(2);

/// The body of a request. Clones share it, so that whoever read a part of it can leave the rest to another.
#[derive(Clone)]
pub(crate) struct ClientBody(Arc<Mutex<Incoming>>);

struct Incoming {
    stream: BodyDataStream,
    /// How many bytes may still come at all.
    left: u64,
    /// Bytes since a part was reached or read.
    between_parts: u64,
    /// A chunk was just given out, so that it is another's turn.
    yielding: bool,
    /// What came before the upload was read.
    begin: BytesMut,
    /// How many bytes came in all.
    received: u64,
    /// The last byte came.
    ended: bool,
    /// Since when the client is waited for.
    waiting_since: Option<Instant>,
    /// How long it was waited for before that.
    waited: Duration,
}

/// The head of a request whose body says nothing that is needed. The body is read for a while all the same, as by [`ClientBody::drain`].
pub(crate) async fn head_of(request: Request) -> Parts {
    let (head, body) = request.into_parts();
    ClientBody::new(body, 0).drain().await;
    head
}

/// A body that is too large.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("the upload has more bytes than are accepted")]
    Body,
    #[error("more than {MAX_BETWEEN_PARTS} bytes stand between two parts of the form")]
    BetweenParts,
}

impl ClientBody {
    /// A body of at most this many bytes.
    pub(crate) fn new(body: Body, most: u64) -> Self {
        Self(Arc::new(Mutex::new(Incoming {
            stream: body.into_data_stream(),
            left: most,
            between_parts: 0,
            yielding: false,
            begin: BytesMut::new(),
            received: 0,
            ended: false,
            waiting_since: None,
            waited: Duration::ZERO,
        })))
    }

    /// Waits until the begin of the body has come, or all of it, or for [`MAX_BEGIN_WAIT`]: a client that stalls before that keeps nobody
    /// waiting. Errors are those of one that sends nothing for `idle_timeout`, or breaks off.
    pub(crate) async fn await_begin(&self, idle_timeout: Duration) -> Result<(), UploadError> {
        let coming = async {
            while !self.has_begun() {
                let next = std::future::poll_fn(|context| self.incoming(|incoming| incoming.next(context)));
                match tokio::time::timeout(idle_timeout, next).await {
                    Err(_) => return Err(UploadError::timeout()),
                    Ok(None) => {}
                    Ok(Some(Err(error))) => {
                        return Err(UploadError::bad_request(format!("the upload broke off: {error}")));
                    }
                    // Copied, so that a begin of many small pieces takes no more memory than one of a few.
                    Ok(Some(Ok(chunk))) => self.incoming(|incoming| incoming.begin.extend_from_slice(&chunk)),
                }
            }
            Ok(())
        };
        tokio::time::timeout(MAX_BEGIN_WAIT, coming).await.unwrap_or(Ok(()))
    }

    /// Whether the begin has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.incoming(|incoming| incoming.ended || incoming.received >= BEGIN)
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.incoming(|incoming| incoming.received)
    }

    /// How long the client was waited for: not while what came is worked upon, nor after the end.
    pub(crate) fn waited(&self) -> Duration {
        self.incoming(|incoming| {
            let now = incoming.waiting_since.map(|since| since.elapsed());
            incoming.waited + now.unwrap_or_default()
        })
    }

    /// The body for a reader of forms.
    pub(crate) fn chunks(&self) -> Body {
        Body::from_stream(self.clone())
    }

    /// To be called when a part was reached, or a chunk of it was read.
    pub(crate) fn made_progress(&self) {
        self.incoming(|incoming| incoming.between_parts = 0);
    }

    /// Reads on for a while and forgets what it reads: a client that is still sending would otherwise see a broken connection instead
    /// of the answer.
    pub(crate) async fn drain(mut self) {
        self.incoming(|incoming| incoming.left = MAX_DRAINED);
        let rest = async {
            while let Some(Ok(_)) = self.next().await {
                self.made_progress();
            }
        };
        // Whether all was read or time ran out, the answer is the same.
        tokio::time::timeout(MAX_DRAIN_TIME, rest).await.ok();
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
    /// The next chunk from the socket.
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
        // The form's reader takes chunks for as long as they are ready and keeps them all, so that a fast client would fill the
        // memory. After each chunk there is none for a moment.
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
