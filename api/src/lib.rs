#![doc = include_str!("../README.md")]

mod again;
pub mod comparison;
mod content_memory;
mod contents;
mod download;
mod error;
mod format;
pub mod lineage;
mod listing;
mod logs;
pub mod node;
mod openapi;
pub mod overview;
mod records;
mod resources;
mod routes;
pub mod run_overview;
mod search;
mod settings;
mod state;
mod table;
mod token_use;
mod trimmed_manifests;
mod unchanged;
mod view;
mod warm_up;

use axum::Router;
use axum::middleware::from_fn_with_state;
use edge::{Shield, shield};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;

pub use content_memory::ContentMemory;
pub use error::Error;
pub use openapi::documentation;
pub use routes::artifacts::download as run_artifact;
pub use search::search;
pub use settings::Settings;
pub use state::State;
pub use token_use::TokenUse;
pub use trimmed_manifests::TrimmedManifests;
pub use view::{Ids, View, may_read, operator_of_key};
pub use warm_up::warm_up;

/// The number of files sent at once. Each takes a few MiB for the buffers of the bucket and of zstd.
const MAX_DOWNLOADS: usize = 64;

/// The routes by which uploaders read files and whole manifests. They are part of [`router`]; a write side that runs alone serves them too,
/// so that uploaders find all their routes in one place.
pub fn uploader_routes(state: State) -> OpenApiRouter<()> {
    let downloads = from_fn_with_state(Shield::new("downloads", MAX_DOWNLOADS), shield);
    routes::of_uploaders()
        .layer(downloads)
        .layer(compression())
        .with_state(state)
}

/// Compresses files for clients that accept gzip but not zstd, the format in which the bucket stores them.
fn compression() -> CompressionLayer {
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest)
}

/// The routes, without a trailing slash, and their OpenAPI document. Paths that do not exist are left to the fallback of the router that
/// these routes become part of.
pub fn router(state: State) -> OpenApiRouter<()> {
    let unchanged = from_fn_with_state(state.clone(), unchanged::unchanged);
    let again = from_fn_with_state(state.clone(), again::again);
    let reads = from_fn_with_state(state.reading.clone(), shield);
    let downloads = from_fn_with_state(Shield::new("downloads", MAX_DOWNLOADS), shield);
    let mut of_data = routes::reads();
    openapi::describe_unchanged(of_data.get_openapi_mut());
    let router = OpenApiRouter::with_openapi(openapi::description())
        .merge(routes::graphql().layer(reads.clone()).layer(compression()))
        .merge(of_data.layer(unchanged).layer(again.clone()).layer(reads))
        .merge(routes::downloads().layer(again).layer(downloads).layer(compression()))
        .merge(routes::others());
    let (router, document) = router.split_for_parts();
    let router = router
        .method_not_allowed_fallback(routes::method_not_allowed)
        .with_state(state);
    let mut router = OpenApiRouter::from(router);
    *router.get_openapi_mut() = document;
    router
}

/// Adds to the routes of another face what all downloads have: a second try, a limit on how many are sent at once, and compression.
pub fn as_downloads(routes: Router<State>, state: &State) -> Router {
    routes
        .layer(from_fn_with_state(state.clone(), again::again))
        .layer(from_fn_with_state(Shield::new("files of pages", MAX_DOWNLOADS), shield))
        .layer(compression())
        .with_state(state.clone())
}

/// Adds to the routes of another face what all reads have: the check of the key, conditional requests, a second try, and a limit on how many
/// are answered at once.
pub fn as_reads(routes: Router<State>, state: &State) -> Router {
    routes
        .layer(from_fn_with_state(state.clone(), unchanged::unchanged))
        .layer(from_fn_with_state(state.clone(), again::again))
        .layer(from_fn_with_state(state.reading.clone(), shield))
        .layer(compression())
        .with_state(state.clone())
}
