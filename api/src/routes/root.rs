//! Routes that need no token.

use axum::Json;

use crate::resources::program::Program;

/// Show which program answers
///
/// Clients test their connection with it.
#[utoipa::path(get, path = "/", tag = "Service", operation_id = "root", security(()),
    responses((status = 200, description = "The program and its version", body = Program)))]
pub(crate) async fn root() -> Json<Program> {
    Json(Program {
        name: "dbt-api",
        version: env!("CARGO_PKG_VERSION"),
    })
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
