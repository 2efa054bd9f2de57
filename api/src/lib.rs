#![doc = include_str!("../README.md")]

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
mod table;
mod token_use;
mod trimmed_manifests;
mod unchanged;
mod view;
mod warm_up;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use bucket::Bucket;
use clock::Clock;
use discovery::Discovery;
use edge::{RateLimit, Shield, Signer, Verifier, shield};
use service::ReadPool;
use tokio::sync::OnceCell;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;

pub use contents::ContentMemory;
pub use openapi::documentation;
pub use settings::Settings;
pub use token_use::TokenUse;
pub use trimmed_manifests::TrimmedManifests;
pub use warm_up::warm_up;

/// The number of files sent at once. Each takes a few MiB for the buffers of the bucket and of zstd.
const MAX_DOWNLOADS: usize = 64;

/// The state that the handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections under the role `dbt_api_reader`, with the read model's search path.
    pub pool: ReadPool,
    /// The bucket that holds the artifacts.
    pub bucket: Bucket,
    /// The URL at which clients reach the service, without a trailing slash.
    pub public_url: String,
    /// The clock from which ages such as "3 minutes ago" are computed.
    pub clock: Clock,
    /// Signs URLs; set when its key has been read from the bucket.
    pub signer: Arc<OnceCell<Signer>>,
    /// Verifies keys that this service did not issue.
    pub verifier: Option<Verifier>,
    /// Limits the requests of each token.
    pub rate: Arc<RateLimit>,
    /// Records when tokens were used.
    pub token_use: TokenUse,
    /// Limits the memory of file contents in answers.
    pub contents: ContentMemory,
    /// Makes trimmed manifests.
    pub trimmed_manifests: TrimmedManifests,
    /// Answers GraphQL.
    pub discovery: Discovery,
}

impl State {
    async fn signer(&self) -> Result<&Signer, bucket::Error> {
        let read = || async { Ok(Signer::new(&self.bucket.signing_key().await?)) };
        self.signer.get_or_try_init(read).await
    }
}

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
    let router = OpenApiRouter::with_openapi(openapi::description())
        .merge(routes::graphql().layer(reads.clone()).layer(compression()))
        .merge(routes::reads().layer(unchanged).layer(reads))
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
