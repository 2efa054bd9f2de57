//! The graphs that were used last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::{AccountId, Sha256};

use super::Graph;

/// How many nodes the kept graphs may have together. A node takes about 0.5 KB, with its attributes about 1 KB.
const MAX_NODES: usize = 100_000;

/// The graphs that were used last. Cheap to clone.
///
/// A graph is asked for by the key of its node set, which a request only learns if row-level security shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graphs(Arc<Mutex<VecDeque<Kept>>>);

#[derive(Debug)]
struct Kept {
    key: (AccountId, Sha256),
    graph: Arc<Graph>,
}

impl Graphs {
    pub(crate) fn get(&self, account: AccountId, node_set: Sha256) -> Option<Arc<Graph>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.key == (account, node_set))?;
        let found = kept.remove(at)?;
        let graph = Arc::clone(&found.graph);
        kept.push_front(found);
        Some(graph)
    }

    pub(crate) fn keep(&self, account: AccountId, node_set: Sha256, graph: &Arc<Graph>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.key != (account, node_set));
        kept.push_front(Kept {
            key: (account, node_set),
            graph: Arc::clone(graph),
        });
        let mut nodes = 0;
        kept.retain(|kept| {
            nodes += kept.graph.len();
            nodes <= MAX_NODES
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::node;
    use super::*;

    #[test]
    fn graphs_are_kept_by_account_and_set() {
        let graphs = Graphs::default();
        let graph = Arc::new(Graph::new(vec![node("model.p.a", &[])]));
        let set = Sha256::of(b"set");
        graphs.keep(AccountId(1), set, &graph);
        assert!(graphs.get(AccountId(1), set).is_some());
        assert!(graphs.get(AccountId(2), set).is_none());
    }
}
