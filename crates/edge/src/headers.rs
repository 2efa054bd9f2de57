//! Headers of all answers, and bounds of all requests.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{CloudError, UploadError};

/// The longest query that is read, in bytes.
const MAX_QUERY_LEN: usize = 8 << 10;

/// Answers are data: a browser that is led to one shall do nothing with it.
const OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// Swagger UI takes everything from here. It writes styles into its elements.
const OF_PAGES: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Refuses URLs that no route could answer, and tells browsers what they must not do with the answer. There are no headers for other
/// origins: pages of other hosts cannot read the API.
pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refuse(request.uri()) {
        // Clients of uploads read `errors`.
        Some(refused) if is_of_uploaders(request.uri().path()) => UploadError::from(refused).into_response(),
        Some(refused) => refused.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let policy = if is_page(headers) { OF_PAGES } else { OF_DATA };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    set_default(headers, CACHE_CONTROL, "no-store");
    response
}

fn is_of_uploaders(path: &str) -> bool {
    let plain = path.trim_start_matches('/');
    plain.starts_with("api/internal") || plain.starts_with("api/v2/datacoves")
}

fn refuse(uri: &Uri) -> Option<CloudError> {
    if uri.query().is_some_and(|query| query.len() > MAX_QUERY_LEN) {
        return Some(CloudError::query_too_long(MAX_QUERY_LEN));
    }
    // PostgreSQL has no text with a NUL in it, so nothing has such a name.
    let holds_nul = uri.path_and_query().is_some_and(|text| text.as_str().contains("%00"));
    holds_nul.then(|| CloudError::bad_request("The URL holds a NUL character (%00)."))
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("text/html"))
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn who_is_refused_is_told_in_the_form_of_the_route() {
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
