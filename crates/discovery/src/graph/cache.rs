//! The graphs that were used last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use read_model::queries::discovery::NodeSet;
use schemas::AccountId;
use tokio::sync::OnceCell;

use super::Graph;

/// The maximum number of nodes in all cached graphs together. A node takes about 0.5 KB, with its attributes about 1 KB.
const MAX_NODES: usize = 100_000;

/// The graphs that were used last. Cheap to clone.
///
/// A graph is asked for by its node set, which a request only learns if row-level security shows it. A graph has the numbers of the nodes, so it
/// is of use only as long as the set is stored where it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graphs(Arc<Mutex<VecDeque<Kept>>>);

#[derive(Debug)]
struct Kept {
    key: (AccountId, NodeSet),
    /// Empty until the first request that needs the graph has read it.
    graph: Arc<OnceCell<Arc<Graph>>>,
}

impl Graphs {
    /// Returns the graph of a node set. If it is not kept, one request reads it, and the others wait for it: each would need much memory.
    pub(crate) async fn get<E>(
        &self,
        account: AccountId,
        node_set: NodeSet,
        read: impl Future<Output = Result<Graph, E>>,
    ) -> Result<Arc<Graph>, E> {
        let cell = self.cell((account, node_set));
        let graph = cell.get_or_try_init(|| async move { read.await.map(Arc::new) }).await?;
        let mut nodes = 0;
        self.kept().retain(|kept| {
            nodes += kept.graph.get().map_or(0, |graph| graph.len());
            nodes <= MAX_NODES
        });
        Ok(Arc::clone(graph))
    }

    fn cell(&self, key: (AccountId, NodeSet)) -> Arc<OnceCell<Arc<Graph>>> {
        let mut kept = self.kept();
        let found = kept.iter().position(|kept| kept.key == key);
        let found = found.and_then(|at| kept.remove(at)).unwrap_or_else(|| Kept {
            key,
            graph: Arc::default(),
        });
        let graph = Arc::clone(&found.graph);
        kept.push_front(found);
        graph
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Sha256;

    use super::super::tests::node;
    use super::*;

    #[tokio::test]
    async fn graphs_are_kept_by_account_and_set() {
        let graphs = Graphs::default();
        let set = NodeSet {
            hash: Sha256::of(b"set"),
            written: (1, 1),
        };
        let get = async |account: i64, nodes: usize| {
            let nodes = (0..nodes).map(|number| node(&format!("model.p.{number:06}"), &[]));
            let read = async { Ok::<_, ()>(Graph::new(nodes.collect())) };
            graphs.get(AccountId(account), set, read).await.unwrap().len()
        };
        assert_eq!(get(1, 1).await, 1);
        assert_eq!(get(1, 2).await, 1, "the kept one");
        assert_eq!(get(2, 2).await, 2);
        assert_eq!(get(3, MAX_NODES - 1).await, MAX_NODES - 1);
        assert_eq!(get(1, 2).await, 2, "there was no room for it");
        let failing = graphs.get(AccountId(4), set, async { Err("failed") });
        assert_eq!(failing.await.unwrap_err(), "failed");
        assert_eq!(get(4, 1).await, 1, "errors are not kept");
    }
}
