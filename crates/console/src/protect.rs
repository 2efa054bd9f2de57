//! What all answers of the console have: headers that restrict the browser, and a token for forms.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, REFERRER_POLICY, SET_COOKIE, VARY};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::forms;
use crate::session::Console;

/// Pages load their style and their script from this host, and nothing else. No styles or scripts in the page itself are allowed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The middleware.
pub(crate) async fn protect(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let is_asset = request.uri().path().starts_with("/console/assets/");
    let mut cookie = None;
    if !is_asset {
        match forms::token_of(&console, request.headers()).await {
            Ok((token, new)) => {
                cookie = new;
                request.extensions_mut().insert(token);
            }
            Err(error) => return error.into_response(),
        }
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Without a referrer, browsers send `Origin: null` with forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if !is_asset {
        let is_kept = HeaderValue::from_static("private, no-cache");
        headers.entry(CACHE_CONTROL).or_insert(is_kept);
        headers.append(VARY, HeaderValue::from(COOKIE));
    }
    if let Some(cookie) = cookie {
        headers.append(SET_COOKIE, cookie);
    }
    response
}
