//! The routes, one resource a file.

mod accounts;
mod artifacts;
mod environments;
mod jobs;
mod nodes;
mod projects;
mod root;
mod runs;
mod steps;

use axum::routing::any;
use edge::CloudError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// All routes with their part of the OpenAPI document.
pub(crate) fn all() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(root::root))
        .routes(routes!(root::healthcheck))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::show))
        .routes(routes!(projects::list))
        .routes(routes!(projects::show))
        .routes(routes!(environments::list))
        .routes(routes!(environments::show))
        .routes(routes!(nodes::list))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::download))
        .route("/api/v2/accounts/{account_id}/{*rest}", any(root::nothing_of_account))
        .route("/api/{*rest}", any(root::not_found))
}

/// Another method than GET where there is something to read.
pub(crate) async fn method_not_allowed() -> CloudError {
    CloudError::method_not_allowed()
}

/// dbt Cloud's number for the state of a record: 1 active, 2 deleted.
fn state_number(state: &str) -> i16 {
    if state == "active" { 1 } else { 2 }
}
