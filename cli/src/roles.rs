//! The services that a process runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn;
use bucket::Bucket;
use clock::Clock;
use directory::datacoves::Source;
use edge::{RateLimit, Verifier};
use ingest::{Datacoves, Directory, Ingest, Observer, Parts};
use projector::Projector;
use service::{Health, Need};
use sqlx::PgPool;
use stream::Stream;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use crate::settings::Settings;

/// The most connections of each role, so that all roles together stay below PostgreSQL's default limit of 100.
const CONNECTIONS: u32 = 20;

/// The time limit for statements of the read side. Clients time out soon after it.
const READ_STATEMENT: Duration = Duration::from_secs(20);

/// The time limit for statements of ingest.
const INGEST_STATEMENT: Duration = Duration::from_secs(5);

/// The time limit for statements of the projector, which may write a hundred thousand nodes to a slow disk.
pub(crate) const PROJECTOR_STATEMENT: Duration = Duration::from_secs(300);

/// Only one synchronization with Datacoves' database runs at a time, so it needs one connection.
const DATACOVES_CONNECTIONS: u32 = 1;

/// The roles that a process runs.
#[derive(Clone, Copy)]
pub(crate) struct Roles {
    ingest: bool,
    projector: bool,
    api: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self {
        ingest: true,
        projector: true,
        api: true,
    };
    pub(crate) const INGEST: Self = Self {
        ingest: true,
        projector: false,
        api: false,
    };
    pub(crate) const PROJECTOR: Self = Self {
        ingest: false,
        projector: true,
        api: false,
    };
    pub(crate) const API: Self = Self {
        ingest: false,
        projector: false,
        api: true,
    };
}

/// Runs services until the process is asked to stop. They start without waiting for PostgreSQL, NATS or the bucket.
pub(crate) async fn run(settings: Settings, roles: Roles) -> anyhow::Result<()> {
    let metrics = service::start_metrics().context("cannot set up metrics")?;
    let shutdown = service::on_signals().context("cannot listen for signals")?;
    let (host, port) = (settings.service.host.as_str(), settings.service.port);
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on HOST={host} PORT={port}: choose another PORT"))?;
    let bucket = Bucket::open(&settings.bucket).context("cannot open the bucket")?;

    let verifier = match settings.verifier.clone() {
        Some(settings) => Some(Verifier::new(settings).context("cannot verify keys with DATACOVES_VERIFY_URL")?),
        None => None,
    };

    let mut health = Health::default();
    if let Some(verifier) = verifier.clone().filter(|_| roles.ingest || roles.api) {
        health = health.part("verifier", Need::Degrading, move || {
            std::future::ready(verifier.check())
        });
    }
    let mut router = Router::new();
    let mut document = OpenApi::default();
    let mut tasks = Vec::new();

    if roles.ingest {
        let stream = Stream::connect(&settings.stream).await?;
        let pool = settings
            .database
            .pool("dbt_api_ingest", read_model::SEARCH_PATH, CONNECTIONS, INGEST_STATEMENT);
        let datacoves = datacoves(&settings, &bucket);
        let directory = Directory::new(
            pool.clone(),
            bucket.clone(),
            Clock::System,
            verifier.clone(),
            datacoves.clone(),
        );
        if let Some(datacoves) = datacoves {
            health = health.part("datacoves", Need::Degrading, move || {
                std::future::ready(datacoves.check())
            });
        }
        health = health
            .part("bucket", Need::Required, bucket_check(&bucket))
            .part("directory", Need::Required, directory_check(&directory))
            .part("database", Need::Degrading, database_check(&pool))
            .part("stream", Need::Degrading, stream_check(&stream));
        tasks.push(tokio::spawn({
            let (directory, shutdown) = (directory.clone(), shutdown.clone());
            async move { directory.run(shutdown).await }
        }));
        if !settings.airflow.environments.is_empty() {
            let parts = Parts {
                pool: pool.clone(),
                bucket: bucket.clone(),
                stream: stream.clone(),
                directory: directory.clone(),
                clock: Clock::System,
            };
            let observer = Observer::new(parts, &settings.airflow)?;
            health = health.part("airflow", Need::Degrading, observer.check());
            tasks.push(tokio::spawn(observer.run(shutdown.clone())));
        }
        let state = Ingest::new(
            settings.ingest.clone(),
            bucket.clone(),
            stream,
            directory,
            pool,
            Clock::System,
            &settings.public_url(),
        );
        let (routes, part) = ingest::router(state).split_for_parts();
        router = router.merge(routes);
        document.merge(part);
    }
    if roles.projector {
        // The projector has its own connection, so that its messages and those of ingest do not wait for each other.
        let stream = Stream::connect(&settings.stream).await?;
        let pool = settings.projector_pool(CONNECTIONS, PROJECTOR_STATEMENT);
        health = health
            .part("database", Need::Required, database_check(&pool))
            .part("bucket", Need::Required, bucket_check(&bucket))
            .part("stream", Need::Degrading, stream_check(&stream));
        let projector = Projector::new(pool, bucket.clone(), Clock::System);
        tasks.push(tokio::spawn(projector.run(stream, shutdown.clone())));
    }
    if roles.ingest || roles.api {
        let pool = settings
            .database
            .pool("dbt_api_reader", read_model::SEARCH_PATH, CONNECTIONS, READ_STATEMENT);
        if roles.api {
            // The check has its own connection, so that a busy read side is not mistaken for an unavailable database.
            let own = settings
                .database
                .pool("dbt_api_reader", read_model::SEARCH_PATH, 1, READ_STATEMENT);
            health = health.part("database", Need::Required, database_check(&own)).part(
                "bucket",
                Need::Degrading,
                bucket_check(&bucket),
            );
        }
        let state = api::State {
            pool,
            bucket: bucket.clone(),
            public_url: settings.public_url(),
            clock: Clock::System,
            signer: Arc::default(),
            verifier,
            rate: Arc::new(RateLimit::per_minute(settings.api.requests_per_minute)),
            contents: api::ContentMemory::default(),
            trimmed_manifests: api::TrimmedManifests::new(settings.ingest.spool_dir.clone()),
            discovery: discovery::Discovery::default(),
        };
        let routes = if roles.api {
            api::router(state)
        } else {
            api::uploader_routes(state)
        };
        let (routes, part) = routes.split_for_parts();
        router = router.merge(routes);
        // The document of the read side has the title and description, so the other routes are merged into it.
        let mut whole = part;
        whole.merge(document);
        document = whole;
    }
    if roles.ingest || roles.api {
        router = router.merge(api::documentation(document));
    }
    let router = router
        .merge(health.routes(metrics))
        .layer(from_fn(edge::guard))
        .layer(CatchPanicLayer::custom(edge::panics_as_cloud_error))
        .layer(from_fn(edge::observe));
    service::serve(listener, edge::absorb_slashes(router), shutdown.clone()).await?;
    shutdown.cancel();
    for task in tasks {
        task.await.context("a background task failed")?;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Prepares the synchronization of the directory with Datacoves' database, if one is configured.
fn datacoves(settings: &Settings, bucket: &Bucket) -> Option<Datacoves> {
    let source = Source::new(settings.datacoves.as_ref()?.foreign_pool(), settings.queries.clone());
    let pool = settings.projector_pool(DATACOVES_CONNECTIONS, INGEST_STATEMENT);
    Some(Datacoves::new(source, pool, bucket.clone(), Clock::System))
}

fn bucket_check(
    bucket: &Bucket,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Result<(), bucket::Error>> + use<> {
    let bucket = bucket.clone();
    move || {
        let bucket = bucket.clone();
        Box::pin(async move { bucket.check().await })
    }
}

fn stream_check(
    stream: &Stream,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Result<(), stream::Error>> + use<> {
    let stream = stream.clone();
    move || {
        let stream = stream.clone();
        Box::pin(async move { stream.check().await })
    }
}

/// Checks that the database is reachable and has its tables.
fn database_check(
    pool: &PgPool,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Result<(), sqlx::Error>> + use<> {
    let pool = pool.clone();
    move || {
        let pool = pool.clone();
        Box::pin(async move { directory::queries::check(&pool).await })
    }
}

fn directory_check(directory: &Directory) -> impl Fn() -> std::future::Ready<Result<(), &'static str>> + use<> {
    let directory = directory.clone();
    move || {
        let loaded = directory.loaded();
        std::future::ready(if loaded {
            Ok(())
        } else {
            Err("not loaded yet from PostgreSQL or the bucket")
        })
    }
}
