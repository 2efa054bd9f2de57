//! Gives each request an id, a line in the log and a span in its trace, and answers even if a handler panics.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clock::Clock;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::{CloudError, request_metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is accepted from a client, in bytes.
const MAX_ID_LEN: usize = 64;

/// The longest part of a path that is logged, in bytes.
const MAX_LOGGED_LEN: usize = 120;

/// The id of a request, for handlers.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Gives each request an id and logs its outcome. The id is the client's if it sent a valid one. Headers, queries and long parts of paths
/// are not logged, because they may contain tokens or permissions.
///
/// Each request also is a span of a trace, which continues the client's trace if the client sent `traceparent`.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_valid_id(id))
        .map_or_else(|| Clock::System.new_id(Clock::System.now()).to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", request_id = id, method = %request.method(), path = loggable(request.uri().path()));
    let trace = trace_span(&request, &id);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answering = async move {
        let begun = Instant::now();
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status, milliseconds, "answered");
        request_metrics::count(
            route.as_ref().map(MatchedPath::as_str),
            response.status(),
            begun.elapsed(),
        );
        if let Ok(value) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    };
    // The span of the trace is the outer one, so that tasks that continue the current span have the same lines in the log as without traces.
    let response = answering.instrument(span).instrument(trace.clone()).await;
    trace.record("http.response.status_code", i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        trace.record("otel.status_code", "error");
    }
    response
}

/// Creates the request's span. It is named by the route, which contains no ids, so that spans of the same route can be compared.
fn trace_span(request: &Request, id: &str) -> Span {
    let method = request.method();
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let span = tracing::info_span!(
        target: traces::TARGET,
        "request",
        otel.name = route.map_or_else(|| method.to_string(), |route| format!("{method} {route}")),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
    );
    traces::continue_from(&span, |name| request.headers().get(name)?.to_str().ok());
    span
}

/// Replaces the long parts of a path: signed permissions are long, and names are short.
#[must_use]
pub fn loggable(path: &str) -> String {
    let parts = path.split('/');
    let shown = parts.map(|part| if part.len() > MAX_LOGGED_LEN { "…" } else { part });
    shown.collect::<Vec<_>>().join("/")
}

fn is_valid_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_ID_LEN
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Makes the answer when a handler has panicked, for tower-http's `CatchPanicLayer`.
#[expect(clippy::needless_pass_by_value, reason = "the layer requires this signature")]
pub fn panics_as_cloud_error(panic: Box<dyn Any + Send + 'static>) -> Response {
    let cause = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown");
    CloudError::internal(&format!("a handler panicked: {cause}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_not_logged() {
        let signed = "ab".repeat(100);
        assert_eq!(
            loggable(&format!("/api/private/ingests/{signed}")),
            "/api/private/ingests/…"
        );
        assert_eq!(loggable("/api/v2/accounts/1/"), "/api/v2/accounts/1/");
    }
}
