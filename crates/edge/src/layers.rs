//! What is done around each request: an id, a line in the log, and an answer even when a handler fails.

use std::any::Any;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clock::Clock;
use tracing::Instrument;

use crate::CloudError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from a client.
const MAX_ID_LEN: usize = 64;

/// The longest part of a path that is logged.
const MAX_LOGGED_LEN: usize = 120;

/// Gives each request an id, the client's if it sent a sane one, and logs how it ended. Neither headers nor queries nor long parts
/// of paths are logged: they may hold tokens or permissions.
pub async fn observe(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_sane(id))
        .map_or_else(|| Clock::System.new_id(Clock::System.now()).to_string(), str::to_owned);
    let span = tracing::info_span!("request", request_id = id, method = %request.method(), path = loggable(request.uri().path()));
    async move {
        let begun = Instant::now();
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status, milliseconds, "answered");
        if let Ok(value) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

/// A path without its long parts: signed permissions are parts of paths, and names are short.
fn loggable(path: &str) -> String {
    let parts = path.split('/');
    let shown = parts.map(|part| if part.len() > MAX_LOGGED_LEN { "…" } else { part });
    shown.collect::<Vec<_>>().join("/")
}

fn is_sane(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_ID_LEN
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The answer when a handler panicked; for tower-http's `CatchPanicLayer`.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it so")]
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
