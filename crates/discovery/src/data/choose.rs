//! Chooses nodes by a selection of dbt.

use std::collections::HashMap;
use std::time::Instant;

use sqlx::PgConnection;

use super::Data;
use crate::error::Error;
use crate::graph::NodeIndex;
use crate::select::{Nodes, Selector};

impl Data {
    /// Returns the selected nodes, sorted by id.
    ///
    /// # Errors
    /// Returns an error if a statement fails, or if it takes longer than until this time.
    pub(crate) async fn choose(
        &self,
        connection: &mut PgConnection,
        selector: Selector,
        until: Instant,
    ) -> Result<Vec<NodeIndex>, Error> {
        self.read_attributes(connection).await?;
        let configs = if selector.needs_configs() {
            let indices: Vec<NodeIndex> = self.graph().indices().collect();
            self.read_definitions(connection, &indices, |doc| doc.json("config"))
                .await?
        } else {
            HashMap::new()
        };
        let scope = self.scope.clone();
        let project = scope.head.and_then(|head| head.project_name);
        let selecting = tokio::task::spawn_blocking(move || {
            selector.apply(&Nodes {
                graph: &scope.graph,
                attributes: scope.graph.attributes().unwrap_or_default(),
                configs: &configs,
                project: project.as_deref(),
                until,
            })
        });
        selecting.await.map_err(|panic| Error::Internal(panic.to_string()))?
    }
}
