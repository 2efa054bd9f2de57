//! The routes, one file for each resource.

mod accounts;
pub(crate) mod artifacts;
pub(crate) mod changes;
mod comparisons;
mod connections;
mod constant;
mod deferral;
mod environments;
mod files;
mod files_v3;
mod graphql;
mod jobs;
mod lineage;
mod manifests;
mod node_details;
mod nodes;
mod overview;
mod projects;
mod refused_uploads;
mod result_tables;
mod results;
mod root;
mod runs;
pub(crate) mod scope;
mod search;
mod selected_lineage;
mod steps;

use axum::extract::RawPathParams;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{any, get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::State;

/// The routes that need neither the database nor the bucket.
pub(crate) fn others() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .route("/api/v2/accounts/{account_id}/jobs/{job_id}/run", any(read_only))
        .route("/api/v2/accounts/{account_id}/jobs/{job_id}/rerun", any(read_only))
        .route("/api/v2/accounts/{account_id}/runs/{run_id}/cancel", any(read_only))
        .route("/api/v2/accounts/{account_id}/runs/{run_id}/retry", any(read_only))
        .routes(routes!(root::root))
        .routes(routes!(root::healthcheck))
        .routes(routes!(root::healthcheck_v3))
        .route("/graphql", get(graphql::page))
        .route("/graphql/graphiql/{name}", get(graphql::page_part))
}

/// The routes of the Discovery API and of the Semantic Layer. They have schemas of their own instead of a part in the OpenAPI document.
pub(crate) fn graphql() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .route("/graphql", post(graphql::discovery))
        .route("/beta/graphql", post(graphql::discovery))
        .route("/api/graphql", post(graphql::semantic_layer))
}

/// The routes that send files, or read much from the bucket.
pub(crate) fn downloads() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(artifacts::download_of_job))
        .routes(routes!(artifacts::download))
        .routes(routes!(deferral::download))
        .routes(routes!(files_v3::download_of_environment))
        .routes(routes!(files_v3::download_of_project))
        .routes(routes!(files_v3::manifest_of_environment))
        .routes(routes!(files_v3::manifest_of_project))
        .routes(routes!(refused_uploads::list))
        .merge(of_uploaders())
}

/// The routes by which uploaders read files and whole manifests, under both prefixes.
pub(crate) fn of_uploaders() -> OpenApiRouter<State> {
    let routes = || {
        OpenApiRouter::default()
            .routes(routes!(files::show))
            .routes(routes!(files::download))
            .routes(routes!(manifests::newest))
            .routes(routes!(manifests::newest_of_slug))
    };
    OpenApiRouter::default()
        .nest(edge::UPLOAD_PREFIX, routes())
        .nest(edge::OLDER_UPLOAD_PREFIX, edge::older(routes()))
}

/// The routes that read the database.
pub(crate) fn reads() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(constant::who_am_i))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::list_v3))
        .routes(routes!(accounts::show))
        .routes(routes!(accounts::show_v3))
        .routes(routes!(overview::of_account))
        .routes(routes!(overview::of_environment))
        .routes(routes!(overview::of_run))
        .routes(routes!(projects::list))
        .routes(routes!(projects::list_v3))
        .routes(routes!(projects::show))
        .routes(routes!(projects::show_v3))
        .routes(routes!(connections::list_v2))
        .routes(routes!(connections::list))
        .routes(routes!(connections::show_v2))
        .routes(routes!(connections::show))
        .routes(routes!(connections::list_of_project))
        .routes(routes!(connections::show_of_project))
        .routes(routes!(environments::list))
        .routes(routes!(environments::list_v3))
        .routes(routes!(environments::list_of_project))
        .routes(routes!(environments::show))
        .routes(routes!(environments::show_v3))
        .routes(routes!(environments::show_of_project))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::list_of_run))
        .routes(routes!(node_details::show))
        .routes(routes!(node_details::show_of_run))
        .routes(routes!(lineage::show))
        .routes(routes!(lineage::show_of_run))
        .routes(routes!(selected_lineage::show))
        .routes(routes!(search::show))
        .routes(routes!(changes::list))
        .routes(routes!(changes::list_of_run))
        .routes(routes!(comparisons::show))
        .routes(routes!(results::list))
        .routes(routes!(result_tables::of_environment))
        .routes(routes!(result_tables::of_job))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(steps::show))
        .routes(routes!(artifacts::list))
        .routes(routes!(files_v3::list_of_project))
        .routes(routes!(files_v3::list_of_environment))
        .routes(routes!(files_v3::show_of_environment))
        .routes(routes!(deferral::latest))
        .routes(routes!(deferral::of_environment))
        .routes(routes!(constant::of_account_v2))
        .routes(routes!(constant::of_account_v3))
        .routes(routes!(constant::of_project_v3))
        .routes(routes!(constant::variables_of_job))
}

/// Answers a request whose method the route does not support.
pub(crate) async fn method_not_allowed(uri: Uri, path: RawPathParams) -> Response {
    let collection = path.iter().find(|(name, _)| *name == "collection");
    if collection.is_some_and(|(_, name)| !constant::is_collection(uri.path(), name)) {
        return edge::not_found(uri).await;
    }
    edge::method_not_allowed(uri).await
}

/// Answers requests to start, repeat or cancel a run, which dbt Cloud offers and this API does not.
async fn read_only(method: Method, uri: Uri) -> Response {
    if method.is_safe() {
        edge::not_found(uri).await
    } else {
        edge::method_not_allowed(uri).await
    }
}
