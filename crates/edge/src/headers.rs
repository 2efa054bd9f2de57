//! Adds security headers to all answers, and refuses URLs that no route can answer.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{CloudError, UploadError};

/// The longest query that is accepted, in bytes.
const MAX_QUERY_LEN: usize = 8 << 10;

/// The policy for data: a browser that opens an answer must not load or run anything.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The policy for Swagger UI and GraphiQL, which load everything from this host and use inline styles. The fonts of GraphiQL are in its styles.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Refuses URLs that no route can answer, and adds headers that restrict what browsers do with the answer. There are no CORS headers, so
/// pages from other hosts cannot read the API.
pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refuse(request.uri()) {
        // Upload clients read `errors`.
        Some(refused) if is_upload_path(request.uri().path()) => UploadError::from(refused).into_response(),
        Some(refused) => refused.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let policy = if is_page(headers) { PAGE_POLICY } else { DATA_POLICY };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        // The console has a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The prefix of the routes for clients that upload, whose errors have a form of their own.
pub const UPLOAD_PREFIX: &str = "/api/v2/datacoves";

/// The older prefix of the same routes, which some clients still use.
pub const OLDER_UPLOAD_PREFIX: &str = "/api/internal";

/// Whether a path belongs to the routes for clients that upload.
#[must_use]
pub fn is_upload_path(path: &str) -> bool {
    let plain = path.trim_start_matches('/');
    [UPLOAD_PREFIX, OLDER_UPLOAD_PREFIX]
        .iter()
        .any(|prefix| plain.starts_with(&prefix[1..]))
}

fn refuse(uri: &Uri) -> Option<CloudError> {
    let length = uri.query().map_or(0, str::len);
    if length > MAX_QUERY_LEN {
        return Some(CloudError::query_too_long(length, MAX_QUERY_LEN));
    }
    // PostgreSQL cannot store text with a NUL, so nothing can have such a name.
    let has_nul = uri.path_and_query().is_some_and(|text| text.as_str().contains("%00"));
    has_nul.then(|| CloudError::bad_request("invalid URL: expected no NUL character, got `%00`"))
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("text/html"))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn refusals_have_the_format_of_the_route() {
        for (path, key) in [
            ("/api/internal/manifests?tag=%00", "errors"),
            ("//api/v2/datacoves/manifests?tag=%00", "errors"),
            ("/api/v2/accounts/1/runs?name=%00", "status"),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = Router::new().layer(from_fn(guard)).oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 400, "{path}");
            let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(body[key].is_object(), "{path}: {body}");
        }
    }
}
