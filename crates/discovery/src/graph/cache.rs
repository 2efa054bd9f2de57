//! The graphs that were used last.

use read_model::queries::discovery::{Head, NodeSet, index};
use schemas::AccountId;
use sqlx::PgConnection;
use std::sync::Arc;

use super::Graph;
use crate::error::Error;
use crate::recent::Recent;

/// The maximum number of nodes in all cached graphs together. A node takes about 0.5 KB, with its attributes about 1 KB.
const MAX_NODES: usize = 100_000;

/// The graphs that were used last. Cheap to clone.
///
/// A graph is asked for by its node set, which a request only learns if row-level security shows it. A graph has the numbers of the nodes, so it
/// is of use only as long as the set is stored where it was read.
pub(crate) type Graphs = Recent<(AccountId, NodeSet), Graph>;

impl Default for Graphs {
    fn default() -> Self {
        Self::new(MAX_NODES, Graph::len)
    }
}

/// Returns the graph of what a manifest defines. It has no nodes if there is no manifest, or if all dbt projects were retired.
pub(crate) async fn read(
    graphs: &Graphs,
    connection: &mut PgConnection,
    account: AccountId,
    head: Option<&Head>,
) -> Result<Arc<Graph>, Error> {
    let Some(node_set) = head.and_then(|head| head.node_set) else {
        return Ok(Arc::default());
    };
    let read = async {
        let rows = index(connection, account, node_set.hash).await?;
        let making = tokio::task::spawn_blocking(move || Graph::new(rows));
        making.await.map_err(|panic| Error::Internal(panic.to_string()))
    };
    graphs.get((account, node_set), read).await
}
