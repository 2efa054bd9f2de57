//! Whose nodes are asked for.

use edge::CloudError;
use read_model::queries;
use schemas::{EnvironmentId, RunId, Sha256};

use crate::error::Error;
use crate::view::View;

/// The nodes of an environment, or of a run, as its newest manifests define them.
pub(super) struct Scope {
    pub(super) environment: EnvironmentId,
    /// None: the environment as a whole.
    pub(super) run: Option<RunId>,
    /// None where no manifest was uploaded.
    pub(super) node_set: Option<Sha256>,
}

impl Scope {
    pub(super) async fn of_environment(view: &mut View, environment: EnvironmentId) -> Result<Self, Error> {
        let account = view.account();
        directory::queries::environment(view.connection(), account, environment)
            .await?
            .ok_or_else(CloudError::not_found)?;
        Ok(Self {
            environment,
            run: None,
            node_set: queries::node_set_of_environment(view.connection(), account, environment).await?,
        })
    }

    pub(super) async fn of_run(view: &mut View, run: RunId) -> Result<Self, Error> {
        let account = view.account();
        let row = queries::run(view.connection(), account, run)
            .await?
            .ok_or_else(CloudError::not_found)?;
        let (run, environment) = (RunId(row.id), EnvironmentId(row.environment_id));
        Ok(Self {
            environment,
            run: Some(run),
            node_set: queries::node_set_of_run(view.connection(), account, environment, run).await?,
        })
    }

    /// The nodes, where there must be some.
    pub(super) fn nodes(&self) -> Result<Sha256, CloudError> {
        self.node_set.ok_or_else(CloudError::not_found)
    }
}
