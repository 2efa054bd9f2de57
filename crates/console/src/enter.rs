//! Who may see the pages for readers.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use edge::CloudError;

use crate::session::Console;
use crate::{links, sign_in};

/// The middleware of pages that need a token. A session counts as if its key were in the header `Authorization`; a request that has neither,
/// or whose token is no longer valid, is led to the page on which one signs in.
pub(crate) async fn enter(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    match console.key(request.headers()).await {
        Err(error) => return error.into_response(),
        Ok(Some(key)) => match HeaderValue::try_from(format!("Bearer {key}")) {
            Ok(value) => drop(request.headers_mut().insert(AUTHORIZATION, value)),
            Err(_) => return CloudError::unauthorized().into_response(),
        },
        Ok(None) => {}
    }
    let head = request.headers().clone();
    let wanted = request.uri().path_and_query().map(ToString::to_string);
    let is_first = request.uri().path() == crate::PREFIX;
    let response = next.run(request).await;
    match response.status() {
        StatusCode::UNAUTHORIZED => sign_in::lead_to_form_of(&console, &head, wanted.as_deref()),
        // An operator has other pages.
        StatusCode::FORBIDDEN if is_first => match console.is_operator(&head).await {
            true => Redirect::to(links::OPERATE).into_response(),
            false => response,
        },
        _ => response,
    }
}
