//! What the roles of a process share, and what each of them adds to it.

use anyhow::Context;
use axum::Router;
use bucket::Bucket;
use edge::Verifier;
use service::{Health, Need};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::settings::Settings;

/// What the roles of a process share.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) bucket: Bucket,
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
        let bucket = settings.open_bucket()?;
        let verifier = settings.verifier.clone().map(Verifier::new).transpose();
        Ok(Self {
            settings,
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

/// What a role adds to its process.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) routes: Router,
    /// The documentation of the routes, if clients may call them.
    pub(crate) document: Option<OpenApi>,
    /// The checks of what the role needs.
    pub(crate) health: Health,
    /// What the role does in the background. Each task ends after the shutdown.
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

impl Part {
    /// Adds a part. What it needs is checked unless this part already checks it. Its document keeps its title and description, and the routes
    /// of this part are added to it.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.tasks.extend(other.tasks);
        Self {
            routes: self.routes.merge(other.routes),
            document: match (self.document, other.document) {
                (Some(ours), Some(mut theirs)) => {
                    theirs.merge(ours);
                    Some(theirs)
                }
                (ours, theirs) => ours.or(theirs),
            },
            health: self.health.join(other.health),
            tasks: self.tasks,
        }
    }
}
