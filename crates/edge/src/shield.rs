//! Protects a group of routes: requests are refused before memory or connections run out, so that accepted requests are answered in time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::{CloudError, Queue};

/// How long a request may wait for earlier ones. Clients give up soon after that.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How many requests may wait for each one that is processed. Reads take milliseconds, so that many are answered long before they give up.
const WAITING_PER_WORKER: usize = 16;

/// Limits how many requests of a group of routes are processed at once, and how many wait. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shield {
    name: &'static str,
    queue: Queue,
}

impl Shield {
    /// Creates a shield for a group with this name, which processes up to `at_once` requests at once.
    #[must_use]
    pub fn new(name: &'static str, at_once: usize) -> Self {
        metrics::counter!("dbt_api_shed_total", "group" => name).increment(0);
        Self {
            name,
            queue: Queue::new(at_once, at_once.saturating_mul(WAITING_PER_WORKER)),
        }
    }
}

/// The middleware. It answers 503 with `Retry-After` if there is no room. A request counts until the client has received the last byte of
/// the answer or the connection is closed. The server closes connections whose clients do not read for a long time.
pub async fn shield(State(shield): State<Shield>, request: Request, next: Next) -> Response {
    let Some(permit) = shield.queue.enter(MAX_WAIT).await else {
        metrics::counter!("dbt_api_shed_total", "group" => shield.name).increment(1);
        return CloudError::busy().into_response();
    };
    hold_until_sent(next.run(request).await, permit)
}

/// Keeps a permit until the whole answer has been sent, or the connection is closed.
pub fn hold_until_sent(response: Response, permit: OwnedSemaphorePermit) -> Response {
    response.map(|body| Body::new(HeldBody { body, _permit: permit }))
}

/// A body that keeps its request's permit until it has been sent.
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
    async fn requests_without_room_are_refused_at_once_and_bodies_keep_their_permit() {
        let bounds = Shield::new("test", 1);
        let router = Router::new()
            .route("/", get(async || "body"))
            .layer(from_fn_with_state(bounds.clone(), shield));
        let ask = || router.clone().oneshot(Request::new(Body::empty()));
        // The body is not read, so the request keeps its permit.
        let first = ask().await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let waiting: Vec<_> = (0..WAITING_PER_WORKER).map(|_| tokio::spawn(ask())).collect();
        while bounds.queue.waiting() < WAITING_PER_WORKER {
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
