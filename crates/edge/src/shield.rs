//! A shield before a group of routes: requests are turned away before memory or connections run out, and those that are let in are answered
//! in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::CloudError;

/// How long a request may wait for those before it: clients give up soon after.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How many may wait for each that is worked upon.
const WAITING_PER_WORKER: usize = 4;

/// Two bounds of a group of routes: how many requests are worked upon, and how many wait. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shield {
    name: &'static str,
    work: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

/// Counts one who waits, also when he leaves.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shield {
    /// For a group of this name, of which so many are worked upon at once.
    #[must_use]
    pub fn new(name: &'static str, at_once: usize) -> Self {
        Self {
            name,
            work: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::default(),
            max_waiting: at_once.saturating_mul(WAITING_PER_WORKER),
        }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let _waiting = Waiting(&self.waiting);
        let permit = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.work).acquire_owned()).await;
        permit.ok()?.ok()
    }
}

/// The middleware: 503 with `Retry-After` where there is no room. A request counts until its connection has taken the last byte of its
/// answer, or is closed: the server closes those of clients that take nothing for long.
pub async fn shield(State(shield): State<Shield>, request: Request, next: Next) -> Response {
    let Some(permit) = shield.enter().await else {
        metrics::counter!("dbt_api_shed_total", "group" => shield.name).increment(1);
        return CloudError::busy().into_response();
    };
    hold_until_sent(next.run(request).await, permit)
}

/// Keeps a permit until the connection has taken the whole answer, or is closed.
pub fn hold_until_sent(response: Response, permit: OwnedSemaphorePermit) -> Response {
    response.map(|body| Body::new(HeldBody { body, _permit: permit }))
}

/// A body that keeps its request's place until the connection has taken it.
struct HeldBody {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_told_at_once_and_a_body_keeps_its_place() {
        let bounds = Shield::new("test", 1);
        let router = Router::new()
            .route("/", get(async || "body"))
            .layer(from_fn_with_state(bounds.clone(), shield));
        let ask = || router.clone().oneshot(Request::new(Body::empty()));
        // Its body is not read: it keeps its place.
        let first = ask().await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let waiting: Vec<_> = (0..WAITING_PER_WORKER).map(|_| tokio::spawn(ask())).collect();
        while bounds.waiting.load(Ordering::Relaxed) < WAITING_PER_WORKER {
            tokio::task::yield_now().await;
        }
        let refused = ask().await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "1");
        drop(first);
        for answer in waiting {
            assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    }
}
