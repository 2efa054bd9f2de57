//! The environment or run that a part of a query is about.

use std::sync::Arc;

use read_model::queries::discovery::{Head, head_of_environment};
use schemas::{AccountId, EnvironmentId, RunId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::graph::{Graph, Graphs, read};

/// Whose nodes are shown.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) project: i64,
    pub(crate) environment: EnvironmentId,
    /// The run; none for the environment as a whole.
    pub(crate) run: Option<RunId>,
    /// The job that was asked for, or the job of the newest manifest.
    pub(crate) job: Option<i64>,
    /// The newest manifest; none if there is none.
    pub(crate) head: Option<Head>,
    pub(crate) graph: Arc<Graph>,
}

impl Scope {
    /// The nodes of an environment. Returns `None` if the connection does not see the environment.
    pub(crate) async fn of_environment(
        connection: &mut PgConnection,
        graphs: &Graphs,
        account: AccountId,
        environment: EnvironmentId,
    ) -> Result<Option<Self>, Error> {
        let Some(row) = directory::queries::environment(connection, account, environment).await? else {
            return Ok(None);
        };
        let head = head_of_environment(connection, account, environment).await?;
        let graph = read(graphs, connection, account, head.as_ref()).await?;
        Ok(Some(Self {
            account,
            project: row.project_id,
            environment,
            run: None,
            job: head.as_ref().and_then(|head| head.job_id),
            head,
            graph,
        }))
    }
}
