//! Headers of all answers, and bounds of all requests.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::CloudError;

/// The longest query that is read, in bytes.
const LONGEST_QUERY: usize = 8 << 10;

/// Answers are data: a browser that is led to one shall do nothing with it.
const OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// Swagger UI takes everything from here. It writes styles into its elements.
const OF_PAGES: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Refuses queries that are too long, and tells browsers what they must not do with the answer. There are no headers for other origins: pages
/// of other hosts cannot read the API.
pub async fn guard(request: Request, next: Next) -> Response {
    let is_too_long = request.uri().query().is_some_and(|query| query.len() > LONGEST_QUERY);
    let mut response = if is_too_long {
        CloudError::query_too_long(LONGEST_QUERY).into_response()
    } else {
        next.run(request).await
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

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("text/html"))
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
