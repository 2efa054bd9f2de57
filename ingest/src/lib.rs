#![doc = include_str!("../README.md")]

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
mod refused;
mod settings;
mod spool;
mod store;
mod turns;
mod upload_metrics;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod hostile;

#[cfg(test)]
#[path = "../../schemas/tests/hostile/mutate.rs"]
mod mutate;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use bucket::Bucket;
use clock::Clock;
use edge::{RateLimit, Signer};
use sqlx::PgPool;
use stream::Announcer;
use tokio::sync::OnceCell;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use crate::directory::{Directory, Unavailable};
pub use crate::directory_sync::Datacoves;
pub use crate::import::{ImportError, import, import_id};
pub use crate::observer::{Observer, Parts};
pub use crate::refused::{Refusals, observe_unserved};
pub use crate::settings::Settings;
use crate::turns::Turns;

/// The state of the routes. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    settings: Arc<Settings>,
    bucket: Bucket,
    announcer: Announcer,
    directory: Directory,
    /// Connects with the role `dbt_api_ingest`, to look up stored files.
    pool: PgPool,
    clock: Clock,
    /// The URL at which clients reach the service, without a trailing slash.
    public_url: Arc<str>,
    /// Signs URLs. Its key is read on first use.
    signer: Arc<OnceCell<Signer>>,
    /// Limits how many uploads are read at once.
    turns: Turns,
    /// Limits how many zips are received at once, each into a file.
    receiving: Turns,
    /// Limits how often a token may upload.
    rate: Arc<RateLimit>,
    /// Keeps the uploads that are refused.
    refusals: Refusals,
}

impl Ingest {
    /// Creates the write side. The caller must also run [`Directory::run`], [`Announcer::run`] and [`Refusals::run`], and put
    /// [`observe_unserved`] around the fallbacks of the routes. `public_url` is the URL at which clients reach the service, without a trailing
    /// slash.
    #[must_use]
    pub fn new(
        settings: Settings,
        bucket: Bucket,
        announcer: Announcer,
        directory: Directory,
        pool: PgPool,
        clock: Clock,
        public_url: &str,
    ) -> Self {
        Self {
            turns: Turns::new(settings.max_uploads),
            receiving: Turns::new(settings.max_uploads),
            rate: Arc::new(RateLimit::per_minute(settings.uploads_per_minute)),
            refusals: Refusals::new(bucket.clone(), directory.clone(), clock),
            settings: Arc::new(settings),
            bucket,
            announcer,
            directory,
            pool,
            clock,
            public_url: public_url.into(),
            signer: Arc::default(),
        }
    }

    /// Returns the refused uploads of this process.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    async fn signer(&self) -> Result<&Signer, bucket::Error> {
        let read = || async { Ok(Signer::new(&self.bucket.signing_key().await?)) };
        self.signer.get_or_try_init(read).await
    }
}

/// Shows counters with 0 before anything is counted, because an alert on a rate does not see a counter that begins with 1.
pub fn declare_metrics() {
    upload_metrics::declare();
    metrics::counter!("dbt_api_datacoves_failures_total").increment(0);
    metrics::counter!("dbt_api_airflow_observations_total").increment(0);
}

/// Returns the routes with their documentation, under the two prefixes for clients that upload.
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
    let refused = from_fn_with_state(ingest.refusals.clone(), refused::observe);
    OpenApiRouter::new()
        .nest(edge::UPLOAD_PREFIX, routes())
        .nest(edge::OLDER_UPLOAD_PREFIX, edge::older(routes()))
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
        .layer(refused)
}

/// Check that the service answers (uploads)
#[utoipa::path(get, path = "/healthcheck", operation_id = "healthcheck_of_uploads", tag = "Uploads", security(()), responses((status = 200, description = "`ok`", body = String, content_type = "text/plain")))]
async fn healthcheck() -> &'static str {
    "ok"
}
