//! The services that a process runs.

mod api;
mod ingest;
mod part;
mod projector;

use std::io::ErrorKind;
use std::sync::Arc;

use ::ingest::Refusals;
use anyhow::{Context, anyhow};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use bucket::Bucket;
use service::ServiceSettings;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::settings::Settings;
use part::{Part, Process};

/// A role that a process can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Accepts uploads.
    Ingest,
    /// Applies events to the database.
    Projector,
    /// Answers reads.
    Api,
}

impl Role {
    /// All roles. If two need the same thing, the earlier one decides whether it is required.
    pub(crate) const ALL: [Self; 3] = [Self::Ingest, Self::Projector, Self::Api];

    /// Shows the counters of the role before anything is counted.
    fn declare_metrics(self) {
        match self {
            Self::Ingest => ::ingest::declare_metrics(),
            Self::Projector => ::projector::declare_metrics(),
            Self::Api => {}
        }
    }

    async fn part(self, process: &Process) -> anyhow::Result<Part> {
        match self {
            Self::Ingest => ingest::part(process).await,
            Self::Projector => projector::part(process).await,
            Self::Api => Ok(api::part(process)),
        }
    }
}

/// Runs these roles until the process is asked to stop. They start without waiting for PostgreSQL, NATS or the bucket.
///
/// # Errors
/// Fails if the process cannot start with these settings, or if a background task panicked.
pub(crate) async fn run(settings: Settings, roles: &[Role]) -> anyhow::Result<()> {
    let metrics = service::start_metrics().context("cannot set up metrics")?;
    let shutdown = service::on_signals().context("cannot listen for signals")?;
    let listener = listen(&settings.service).await?;
    let process = Process::open(settings, shutdown.clone())?;
    tokio::spawn(report_problem(process.bucket.clone()));
    edge::declare_metrics();
    if roles.iter().any(|role| *role != Role::Projector) {
        let (deleted_tokens, shutdown) = (process.deleted_tokens.clone(), shutdown.clone());
        tokio::spawn(async move { shutdown.run_until_cancelled(deleted_tokens.run()).await });
    }
    let mut whole = joined(&process, roles).await?;
    let health = Arc::new(whole.health);
    let operator_parts = whole
        .operator_parts
        .map(|operator_parts| operator_parts.operations(&process, Arc::clone(&health)));
    let operations = operator_parts.transpose()?;
    if let Some(operations) = &operations {
        whole
            .tasks
            .push(tokio::spawn(operations.parts.clone().run(shutdown.clone())));
    }
    let mut router = match (whole.reads, operations) {
        (Some(reads), operations) if roles.contains(&Role::Api) => {
            whole.routes.merge(console::router(reads, operations))
        }
        (Some(reads), Some(operations)) => whole.routes.merge(console::operators_router(reads, operations)),
        _ => whole.routes,
    };
    if let Some(document) = whole.document {
        router = router.merge(::api::documentation(document));
    }
    let router = with_layers(router.merge(health.routes(metrics)), whole.refusals);
    service::serve(listener, edge::absorb_slashes(router), shutdown.clone()).await?;
    shutdown.cancel();
    for task in whole.tasks {
        task.await.context("a background task failed")?;
    }
    for last in whole.last {
        last.await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// The parts of these roles as one.
async fn joined(process: &Process, roles: &[Role]) -> anyhow::Result<Part> {
    let mut whole = Part::default();
    for role in roles {
        role.declare_metrics();
        whole = whole.join(role.part(process).await?);
    }
    if roles.contains(&Role::Ingest) && !roles.contains(&Role::Api) {
        whole = whole.join(api::uploaders_part(process));
    }
    Ok(whole)
}

/// Adds what applies to all routes, and to requests that no route serves.
fn with_layers(router: Router, refusals: Option<Refusals>) -> Router {
    let mut router = router
        .fallback(edge::not_found)
        .method_not_allowed_fallback(edge::method_not_allowed);
    if let Some(refusals) = refusals {
        router = router.layer(from_fn_with_state(refusals, ::ingest::observe_unserved));
    }
    router
        .layer(from_fn(edge::guard))
        .layer(CatchPanicLayer::custom(edge::panics_as_cloud_error))
        .layer(from_fn(edge::observe))
}

/// Logs why the bucket cannot be used.
async fn report_problem(bucket: Bucket) {
    match bucket.check().await {
        Ok(()) => {}
        Err(error) if error.is_unconditional() => tracing::error!(%error, "nothing can be stored"),
        Err(error) => tracing::warn!(%error, "the bucket is unavailable"),
    }
}

async fn listen(settings: &ServiceSettings) -> anyhow::Result<TcpListener> {
    let (host, port) = (settings.host.as_str(), settings.port);
    TcpListener::bind((host, port))
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                anyhow!("cannot listen on HOST={host} PORT={port}: another program uses this port, choose another PORT")
            }
            ErrorKind::PermissionDenied => {
                anyhow!("cannot listen on HOST={host} PORT={port}: {error}, choose a PORT above 1023")
            }
            _ => anyhow!("invalid `HOST`: expected an address of this machine, got `{host}`: {error}"),
        })
}
