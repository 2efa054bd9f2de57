//! The write side: takes the artifacts of dbt from those who run it, and answers when they are safe.
//!
//! An upload is accepted when its bytes and the event that tells of it are in the bucket. Nothing else has to be there: while PostgreSQL
//! is away, tokens are known from memory; while NATS is away, the projectors find the event in the bucket.

mod access;
mod archive;
mod artifacts_ingest;
mod body;
mod directory;
mod directory_sync;
mod files;
mod form;
mod import;
mod manifests;
mod observer;
mod parameters;
mod settings;
mod spool;
mod store;
mod turns;

#[cfg(test)]
#[path = "../../schemas/tests/hostile/mutate.rs"]
mod mutate;

use std::sync::Arc;

use bucket::Bucket;
use clock::Clock;
use edge::{RateLimit, Signer};
use sqlx::PgPool;
use stream::Stream;
use tokio::sync::OnceCell;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use crate::directory::Directory;
pub use crate::directory_sync::Datacoves;
pub use crate::import::{ImportError, import, import_id};
pub use crate::observer::{Observer, Parts};
pub use crate::settings::Settings;
use crate::turns::Turns;

/// What the routes work with. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    settings: Arc<Settings>,
    bucket: Bucket,
    stream: Stream,
    directory: Directory,
    /// Of the role `dbt_api_ingest`: which files there are.
    pool: PgPool,
    clock: Clock,
    /// Where clients reach the service, without a slash at the end.
    public_url: Arc<str>,
    /// What signs URLs, once its key was read.
    signer: Arc<OnceCell<Signer>>,
    /// Of the uploads that are read.
    turns: Turns,
    /// Of the zips that are received, each into a file.
    receiving: Turns,
    /// How often a token may upload.
    rate: Arc<RateLimit>,
}

impl Ingest {
    /// The write side over these. Whoever makes it also runs [`Directory::run`]. `public_url` is where clients reach it, without a slash at
    /// the end.
    #[must_use]
    pub fn new(
        settings: Settings,
        bucket: Bucket,
        stream: Stream,
        directory: Directory,
        pool: PgPool,
        clock: Clock,
        public_url: &str,
    ) -> Self {
        Self {
            turns: Turns::new(settings.max_uploads),
            receiving: Turns::new(settings.max_uploads),
            rate: Arc::new(RateLimit::per_minute(settings.uploads_per_minute)),
            settings: Arc::new(settings),
            bucket,
            stream,
            directory,
            pool,
            clock,
            public_url: public_url.into(),
            signer: Arc::default(),
        }
    }

    async fn signer(&self) -> Result<&Signer, bucket::Error> {
        let read = || async { Ok(Signer::new(&self.bucket.signing_key().await?)) };
        self.signer.get_or_try_init(read).await
    }
}

/// The routes with their documentation, under `/api/v2/datacoves` and under the older `/api/internal`.
pub fn router(ingest: Ingest) -> OpenApiRouter {
    let routes = || {
        OpenApiRouter::new()
            .routes(routes!(manifests::post_manifest))
            .routes(routes!(
                files::v2::post,
                files::v2::put,
                files::v2::patch,
                files::v2::delete
            ))
            .routes(routes!(healthcheck))
            .with_state(ingest.clone())
    };
    OpenApiRouter::new()
        .nest("/api/v2/datacoves", routes())
        .nest("/api/internal", edge::older(routes()))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(artifacts_ingest::begin))
                .routes(routes!(artifacts_ingest::end))
                .routes(routes!(artifacts_ingest::put))
                .routes(routes!(files::v3::post_v3))
                .routes(routes!(files::v3::delete_of_environment))
                .routes(routes!(files::v3::delete_of_project))
                .routes(routes!(files::v3::promote))
                .with_state(ingest.clone()),
        )
}

/// Whether the server answers
#[utoipa::path(get, path = "/healthcheck", tag = "Uploads", security(()), responses((status = 200, description = "`ok`", body = String)))]
async fn healthcheck() -> &'static str {
    "ok"
}
