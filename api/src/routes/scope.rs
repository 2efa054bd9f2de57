//! The environment or run whose nodes a request asks for.

use edge::CloudError;
use read_model::queries;
use schemas::{EnvironmentId, RunId, Sha256};

use crate::error::Error;
use crate::view::View;

/// The nodes of an environment or a run, as its newest manifest defines them.
pub(crate) struct Scope {
    pub(crate) environment: EnvironmentId,
    /// The run; none for the environment as a whole.
    pub(crate) run: Option<RunId>,
    /// The nodes of the newest manifest; none if no manifest was uploaded.
    pub(crate) node_set: Option<Sha256>,
}

impl Scope {
    pub(crate) async fn of_environment(view: &mut View, environment: EnvironmentId) -> Result<Self, Error> {
        let account = view.account();
        directory::queries::environment(view.connection(), account, environment)
            .await?
            .ok_or_else(CloudError::not_found)?;
        Ok(Self {
            environment,
            run: None,
            node_set: queries::aspects::node_set_of_environment(view.connection(), account, environment).await?,
        })
    }

    pub(crate) async fn of_run(view: &mut View, run: RunId) -> Result<Self, Error> {
        let account = view.account();
        let row = queries::runs::run(view.connection(), account, run)
            .await?
            .ok_or_else(CloudError::not_found)?;
        let (run, environment) = (RunId(row.id), EnvironmentId(row.environment_id));
        Ok(Self {
            environment,
            run: Some(run),
            node_set: queries::aspects::node_set_of_run(view.connection(), account, environment, run).await?,
        })
    }

    /// Returns the nodes, or a 404 error if no manifest was uploaded.
    pub(crate) fn nodes(&self) -> Result<Sha256, CloudError> {
        let whose = || match (self.run, self.environment) {
            (Some(RunId(run)), _) => format!("run {run}"),
            (None, EnvironmentId(environment)) => format!("environment {environment}"),
        };
        self.node_set
            .ok_or_else(|| CloudError::not_found_because(format!("No manifest of {} was uploaded.", whose())))
    }
}
