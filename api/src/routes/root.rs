//! Routes that need no token.

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Redirect, Response};

use crate::resources::program::Program;

/// Show which program answers
///
/// Clients test their connection with it. A browser is led to the console.
#[utoipa::path(get, path = "/", tag = "Service", operation_id = "root", security(()),
    responses((status = 200, description = "The program and its version", body = Program),
        (status = 303, description = "The console, for clients that accept `text/html`")))]
pub(crate) async fn root(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return Redirect::to("/console").into_response();
    }
    Json(Program {
        name: "dbt-api",
        version: env!("CARGO_PKG_VERSION"),
    })
    .into_response()
}

/// Check that the service answers
#[utoipa::path(get, path = "/api/v2/healthcheck", tag = "Service", operation_id = "healthcheck", security(()),
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck() -> &'static str {
    "ok"
}

/// Check that the service answers (v3)
#[utoipa::path(get, path = "/api/v3/healthcheck", tag = "Service", operation_id = "healthcheck_v3", security(()),
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck_v3() -> &'static str {
    "ok"
}
