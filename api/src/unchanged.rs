//! Conditional reads: a client that names the tag of a current answer gets 304, and the answer is not read again.

use axum::extract::{Request, State as Extracted};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderValue, VARY};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::{Scope, Sha256};
use uuid::Uuid;

use crate::download::names;
use crate::state::State;
use crate::view::Bearer;

/// Answers contain ages such as "3 minutes ago", so a tag is valid for at most a minute.
const SECONDS: i64 = 60;

/// Gives answers an `ETag`, and answers 304 to requests that name it in `If-None-Match` while nothing in the account has changed.
///
/// The version is read together with the key, before any data. So an answer may be newer than its tag says, but never older. Only the primary
/// says that nothing has changed; the tag of an answer is that of the server that is read.
pub(crate) async fn unchanged(Extracted(state): Extracted<State>, mut request: Request, next: Next) -> Response {
    let bearer = match Bearer::authenticate(request.headers(), request.extensions(), &state).await {
        Ok(bearer) => bearer,
        Err(error) => return error.into_response(),
    };
    let current = tag_of(&state, &bearer, bearer.account_version, &request);
    let tag = tag_of(&state, &bearer, bearer.read_version, &request);
    if let Some(tag) = &current
        && bearer.access.allows(Scope::Read)
        && names(request.headers(), tag)
    {
        return (StatusCode::NOT_MODIFIED, [(ETAG, format!("W/{tag}"))]).into_response();
    }
    bearer.hand_over(request.extensions_mut());
    let mut response = next.run(request).await;
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok())
        && response.status() == StatusCode::OK
    {
        response.headers_mut().insert(ETAG, tag);
        response.headers_mut().append(VARY, HeaderValue::from(AUTHORIZATION));
    }
    response
}

/// Returns the tag of this answer, or none if the account's version is not known. It is sent as a weak tag (RFC 9110, 8.8.1), because the
/// bytes may differ in ages.
fn tag_of(state: &State, bearer: &Bearer, version: Option<Uuid>, request: &Request) -> Option<String> {
    let version = version?;
    let (uri, headers) = (request.uri(), request.headers());
    let moment = state.clock.now().timestamp() / SECONDS;
    let release = env!("CARGO_PKG_VERSION");
    // Some answers have several formats.
    let accepted: Vec<&[u8]> = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes).collect();
    let accepted = match accepted.as_slice() {
        // A client that does not say what it accepts accepts everything (RFC 9110, 12.5.1).
        [] => "*/*".to_owned(),
        accepted => String::from_utf8_lossy(&accepted.join(&b',')).into_owned(),
    };
    let text = format!(
        "{release} {version} {} {moment} {uri} {accepted}",
        bearer.access.token_id
    );
    let hash = Sha256::of(text.as_bytes()).to_string();
    Some(format!("\"{}\"", &hash[..32]))
}
