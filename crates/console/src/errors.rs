//! Shows errors as pages.

use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use edge::{CloudError, Reason};
use maud::html;

use crate::{layout, operate};

/// The middleware: replaces the body of an error in dbt Cloud's format by a page that says the same. Its headers stay, such as `Retry-After`.
pub(crate) async fn as_pages(request: Request, next: Next) -> Response {
    let wants_json = operate::wants_json(request.headers());
    let response = next.run(request).await;
    if wants_json {
        return response;
    }
    let status = response.status();
    let Some(Reason(reason)) = response.extensions().get::<Reason>().cloned() else {
        return response;
    };
    let page = layout::bare(
        title(status),
        &html! {
            h1 { (title(status)) }
            p { (reason) }
            p { a href="/console" { "To the console" } }
        },
    );
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(CONTENT_ENCODING);
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    (head, page.into_response().into_body()).into_response()
}

/// The answer to a path that no page has.
pub(crate) async fn not_found() -> CloudError {
    CloudError::not_found()
}

/// The answer of a process that does not serve the pages for operators.
pub(crate) async fn served_elsewhere() -> CloudError {
    let reason = "The pages for operators are served by the processes that accept uploads: the proxy in front of dbt-api must send /console/operate \
                  to `dbt-api ingest`.";
    CloudError::forbidden_because(reason)
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "Not available now",
        status if status.is_client_error() => "This request is not valid",
        _ => "Something went wrong",
    }
}
