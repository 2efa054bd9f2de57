//! The read side: answers as dbt Cloud's Administrative API v2 does, so that its clients need a change of host only.
//!
//! A handler takes a `View`, which is the right to read: one transaction that sees the token's account and cannot write.

mod contents;
mod download;
mod error;
mod format;
mod listing;
mod openapi;
mod records;
mod resources;
mod routes;
mod settings;
mod trimmed_manifests;
mod unchanged;
mod view;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use bucket::Bucket;
use clock::Clock;
use edge::{RateLimit, Shield, Signer, Verifier, shield};
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;

pub use contents::ContentMemory;
pub use openapi::documentation;
pub use settings::Settings;
pub use trimmed_manifests::TrimmedManifests;

/// How many files are sent at once. Each takes a buffer of the bucket's and of zstd, some MiB.
const MAX_DOWNLOADS: usize = 64;

/// What the handlers need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// Under the role `dbt_api_reader`, with the read model's search path.
    pub pool: PgPool,
    /// Where the artifacts are.
    pub bucket: Bucket,
    /// Where clients reach the service, without a slash at the end.
    pub public_url: String,
    /// How old things are follows from it.
    pub clock: Clock,
    /// What signs URLs, once its key was read.
    pub signer: Arc<OnceCell<Signer>>,
    /// Who tells whose the keys are that are none of ours.
    pub verifier: Option<Verifier>,
    /// How often a token may ask.
    pub rate: Arc<RateLimit>,
    /// What bounds the contents of files in answers.
    pub contents: ContentMemory,
    /// What makes trimmed manifests.
    pub trimmed_manifests: TrimmedManifests,
}

impl State {
    async fn signer(&self) -> Result<&Signer, bucket::Error> {
        let read = || async { Ok(Signer::new(&self.bucket.signing_key().await?)) };
        self.signer.get_or_try_init(read).await
    }
}

/// The routes by which those who upload read files and whole manifests: part of [`router`], and for a write side that runs alone, so that
/// its clients find all of theirs in one place.
pub fn uploader_routes(state: State) -> OpenApiRouter<()> {
    let downloads = from_fn_with_state(Shield::new("downloads", MAX_DOWNLOADS), shield);
    routes::of_uploaders()
        .layer(downloads)
        .layer(compression())
        .with_state(state)
}

/// For clients that take gzip and not zstd, as which files lie in the bucket.
fn compression() -> CompressionLayer {
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest)
}

/// The routes, without a slash at the end, with their OpenAPI document. What is unknown under `/api` is answered too, so that routes
/// merged with these have to be more specific.
pub fn router(state: State) -> OpenApiRouter<()> {
    // A read holds a connection of the database for as long as it is worked upon, a download only at its beginning.
    let connections = usize::try_from(state.pool.options().get_max_connections()).unwrap_or(1);
    let unchanged = from_fn_with_state(state.clone(), unchanged::unchanged);
    let reads = from_fn_with_state(Shield::new("reads", connections), shield);
    let downloads = from_fn_with_state(Shield::new("downloads", MAX_DOWNLOADS), shield);
    let router = OpenApiRouter::with_openapi(openapi::description())
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
