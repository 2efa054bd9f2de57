//! The routes that need no token.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The name and version of the program.
#[derive(Serialize, ToSchema)]
pub(crate) struct Program {
    name: &'static str,
    version: &'static str,
}

/// Shows the program's name and version. Clients test their connection with it.
#[utoipa::path(get, path = "/", tag = "Service", operation_id = "Root", security(()),
    responses((status = 200, body = Program)))]
pub(crate) async fn root() -> Json<Program> {
    Json(Program {
        name: "dbt-api",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Answers `ok`.
#[utoipa::path(get, path = "/api/v2/healthcheck", tag = "Service", operation_id = "Healthcheck", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck() -> &'static str {
    "ok"
}

/// Answers `ok`.
#[utoipa::path(get, path = "/api/v3/healthcheck", tag = "Service", operation_id = "Healthcheck (v3)", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck_v3() -> &'static str {
    "ok"
}
