//! The pages, one file for each subject.

mod account;
mod compare;
mod lineage;
mod node;
pub(crate) mod operate;
mod overview;
mod run;
mod runs;
mod search;

use axum::Router;
use axum::routing::get;

/// The pages for those that read.
pub(crate) fn routes() -> Router<api::State> {
    Router::new()
        .route("/console", get(account::first))
        .route("/console/{account_id}", get(account::show))
        .route("/console/{account_id}/compare", get(compare::show))
        .route("/console/{account_id}/search", get(search::in_account))
        .route("/console/{account_id}/runs", get(runs::show))
        .route("/console/{account_id}/runs/{run_id}", get(run::show))
        .route(
            "/console/{account_id}/environments/{environment_id}",
            get(overview::show),
        )
        .route(
            "/console/{account_id}/environments/{environment_id}/search",
            get(search::show),
        )
        .route(
            "/console/{account_id}/environments/{environment_id}/nodes/{unique_id}",
            get(node::show),
        )
        .merge(lineage::routes())
}

/// The files that pages lead to.
pub(crate) fn downloads() -> Router<api::State> {
    run::download()
}
