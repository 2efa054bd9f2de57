//! What the roles of a process share, and what each of them adds to it.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use bucket::{Bucket, DeletedTokens};
use clock::Clock;
use console::{Operations, Parts};
use edge::Verifier;
use futures_util::future::BoxFuture;
use ingest::Directory;
use ingest::Refusals;
use service::{Health, Need};
use stream::Announcer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::pools;
use crate::settings::Settings;

/// What the roles of a process share.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) bucket: Bucket,
    pub(crate) deleted_tokens: DeletedTokens,
    /// Verifies keys that this service did not issue.
    pub(crate) verifier: Option<Verifier>,
    /// Cancelled when the process is asked to stop.
    pub(crate) shutdown: CancellationToken,
}

impl Process {
    /// Prepares what the roles share.
    ///
    /// # Errors
    /// Fails if the settings of the bucket or of the verifier cannot be used.
    pub(crate) fn open(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<Self> {
        tokio::spawn(settings.database.clone().follow(shutdown.clone()));
        let bucket = settings.open_bucket()?;
        let verifier = settings.verifier.clone().map(Verifier::new).transpose();
        Ok(Self {
            settings,
            deleted_tokens: DeletedTokens::new(bucket.clone()),
            bucket,
            verifier: verifier.context("cannot verify keys with DATACOVES_VERIFY_URL")?,
            shutdown,
        })
    }

    /// Adds the verifier to a role's health checks, if there is one.
    pub(crate) fn with_verifier(&self, health: Health) -> Health {
        match self.verifier.clone() {
            Some(verifier) => health.part("verifier", Need::Degrading, move || {
                std::future::ready(verifier.check())
            }),
            None => health,
        }
    }
}

/// What the pages for operators take from `ingest`.
pub(crate) struct OperatorParts {
    pub(crate) directory: Directory,
    pub(crate) announcer: Announcer,
}

impl OperatorParts {
    /// What the pages for operators need.
    ///
    /// # Errors
    /// Fails if the settings of the bucket cannot be used.
    pub(crate) fn operations(self, process: &Process, health: Arc<Health>) -> anyhow::Result<Operations> {
        let settings = &process.settings;
        Ok(Operations {
            pool: pools::operator_pages(&settings.database),
            operator: settings.operator()?,
            announcer: self.announcer,
            directory: self.directory,
            parts: Parts::new(health, Clock::System),
            observed: settings.observed_sources(),
        })
    }
}

/// What a role adds to its process.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) routes: Router,
    /// What the console reads, and checks keys of readers with.
    pub(crate) reads: Option<::api::State>,
    /// What the pages for operators need, if this process serves them.
    pub(crate) operator_parts: Option<OperatorParts>,
    /// The documentation of the routes, if clients may call them.
    pub(crate) document: Option<OpenApi>,
    /// Keeps uploads that no route serves.
    pub(crate) refusals: Option<Refusals>,
    /// The checks of what the role needs.
    pub(crate) health: Health,
    /// What the role does in the background. Each task ends after the shutdown.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    /// What the role does after the last request was answered and the tasks have ended.
    pub(crate) last: Vec<BoxFuture<'static, ()>>,
}

impl Part {
    /// Adds a part. What it needs is checked unless this part already checks it. Its document keeps its title and description, and the routes
    /// of this part are added to it.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.tasks.extend(other.tasks);
        self.last.extend(other.last);
        Self {
            routes: self.routes.merge(other.routes),
            document: match (self.document, other.document) {
                (Some(ours), Some(mut theirs)) => {
                    theirs.merge(ours);
                    Some(theirs)
                }
                (ours, theirs) => ours.or(theirs),
            },
            refusals: self.refusals.or(other.refusals),
            reads: self.reads.or(other.reads),
            operator_parts: self.operator_parts.or(other.operator_parts),
            health: self.health.join(other.health),
            tasks: self.tasks,
            last: self.last,
        }
    }
}
