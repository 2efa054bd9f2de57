//! The nodes that an environment defines, for faces that are not GraphQL.

use std::sync::Arc;
use std::time::Instant;

use read_model::queries::discovery::NodeSet;
use schemas::{AccountId, EnvironmentId};
use sqlx::PgConnection;

use crate::answer::{Discovery, MAX_TIME};
use crate::data::Data;
use crate::error::Error;
use crate::graph::{Graph, GraphNode, NodeIndex};
use crate::scope::Scope;
use crate::select::{Selector, around};

/// The nodes that an environment defines now, and how they depend on each other.
#[derive(Debug)]
pub struct Defined {
    pub(crate) data: Data,
    until: Instant,
}

impl Discovery {
    /// Reads the nodes of an environment. Returns `None` if the connection does not see the environment.
    ///
    /// # Errors
    /// Returns an error if a statement fails.
    pub async fn defined(
        &self,
        connection: &mut PgConnection,
        account: AccountId,
        environment: EnvironmentId,
    ) -> Result<Option<Defined>, Error> {
        let until = Instant::now() + MAX_TIME;
        let scope = Scope::of_environment(connection, &self.graphs, account, environment).await?;
        Ok(scope.map(|scope| Defined {
            data: Data::new(scope),
            until,
        }))
    }
}

impl Defined {
    /// The nodes.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.data.scope.graph
    }

    /// The key of the set of nodes; none if there are no nodes.
    #[must_use]
    pub fn node_set(&self) -> Option<NodeSet> {
        self.data.scope.head.as_ref().and_then(|head| head.node_set)
    }

    /// Returns the nodes of a selection as `dbt ls --select` takes it, such as `+orders tag:daily --exclude staging`, sorted by id. The id of a
    /// node, as a whole, selects this node.
    ///
    /// # Errors
    /// Returns an error if the selection is not understood, or if a statement fails.
    pub async fn select(&self, connection: &mut PgConnection, selection: &str) -> Result<Vec<NodeIndex>, Error> {
        if let Some(node) = self.graph().find(selection) {
            return Ok(vec![node]);
        }
        let selector = Selector::parse(Some(selection), None)?;
        self.data.choose(connection, selector, self.until).await
    }

    /// Returns these nodes, and those that are at most so many steps before and after them, sorted by id.
    #[must_use]
    pub fn around(&self, nodes: &[NodeIndex], before: u32, after: u32) -> Vec<NodeIndex> {
        around(self.graph(), nodes, before, after)
    }
}

/// Whether a node is a test of data or a unit test.
#[must_use]
pub fn is_test(node: &GraphNode) -> bool {
    matches!(&*node.resource_type, "test" | "unit_test")
}
