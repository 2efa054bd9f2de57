#![doc = include_str!("../README.md")]

mod content_memory;
mod contents;
mod download;
mod error;
mod format;
mod listing;
mod logs;
mod openapi;
mod records;
mod resources;
mod routes;
mod settings;
mod state;
mod table;
mod token_use;
mod trimmed_manifests;
mod unchanged;
mod view;
mod warm_up;

use axum::middleware::from_fn_with_state;
use edge::{Shield, shield};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;

pub use content_memory::ContentMemory;
pub use openapi::documentation;
pub use settings::Settings;
pub use state::State;
pub use token_use::TokenUse;
pub use trimmed_manifests::TrimmedManifests;
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
    // A read holds its database connection until it is answered, a download only at its beginning.
    let connections = state.pool.size();
    let unchanged = from_fn_with_state(state.clone(), unchanged::unchanged);
    let reads = from_fn_with_state(Shield::new("reads", connections), shield);
    let downloads = from_fn_with_state(Shield::new("downloads", MAX_DOWNLOADS), shield);
    let mut of_data = routes::reads();
    openapi::describe_unchanged(of_data.get_openapi_mut());
    let router = OpenApiRouter::with_openapi(openapi::description())
        .merge(routes::graphql().layer(reads.clone()).layer(compression()))
        .merge(of_data.layer(unchanged).layer(reads))
        .merge(routes::downloads().layer(downloads).layer(compression()))
        .merge(routes::others());
    let (router, document) = router.split_for_parts();
    let router = router
        .method_not_allowed_fallback(routes::method_not_allowed)
        .with_state(state);
    let mut router = OpenApiRouter::from(router);
    *router.get_openapi_mut() = document;
    router
}
