//! What is answered without a token.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Which program answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Program {
    name: &'static str,
    version: &'static str,
}

/// Says which program answers: clients test their connection with it.
#[utoipa::path(get, path = "/", tag = "Service", operation_id = "Root", security(()),
    responses((status = 200, body = Program)))]
pub(crate) async fn root() -> Json<Program> {
    Json(Program {
        name: "dbt-api",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Says `ok`.
#[utoipa::path(get, path = "/api/v2/healthcheck", tag = "Service", operation_id = "Healthcheck", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck() -> &'static str {
    "ok"
}

/// Says `ok`.
#[utoipa::path(get, path = "/api/v3/healthcheck", tag = "Service", operation_id = "Healthcheck (v3)", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthcheck_v3() -> &'static str {
    "ok"
}
