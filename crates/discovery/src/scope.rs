//! The environment or run that a part of a query is about.

use std::sync::Arc;

use read_model::queries::discovery::Head;
use schemas::{AccountId, EnvironmentId, RunId};

use crate::graph::Graph;

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
