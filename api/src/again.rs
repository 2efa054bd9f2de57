//! Reads that others were in the way of are tried again: those that met a deadlock, such as with the swap of a rebuild, and those that a
//! standby cancelled. The second time they are read from the primary.

use axum::body::Body;
use axum::extract::{Request, State as Extracted};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::Response;
use edge::Outage;

use crate::state::State;

/// Marks a request that must be read from the primary.
#[derive(Clone)]
struct FromPrimary;

/// Whether a request must be read from the primary.
pub(crate) fn must_be_primary(extensions: &Extensions) -> bool {
    extensions.get::<FromPrimary>().is_some()
}

/// Answers a request without a body a second time if PostgreSQL could not answer it the first time.
pub(crate) async fn again(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let mut second = Request::from_parts(head.clone(), Body::empty());
    second.extensions_mut().insert(FromPrimary);
    let response = next.clone().run(Request::from_parts(head, body)).await;
    match response.extensions().get::<Outage>() {
        Some(Outage::Conflict) => next.run(second).await,
        Some(Outage::Other) if state.reads.replica().is_some() => next.run(second).await,
        _ => response,
    }
}
