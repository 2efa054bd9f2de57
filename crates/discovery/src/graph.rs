//! The nodes of an environment or a run, and how they depend on each other. A set of nodes never changes, so its graph is kept in memory.

mod attributes;
mod cache;

use std::collections::HashSet;

use read_model::queries::discovery::IndexedNode;
use tokio::sync::OnceCell;

pub(crate) use attributes::{Attributes, modeling_layer};
pub(crate) use cache::Graphs;

use crate::kind::Kind;

/// A node, by its index in the graph.
pub(crate) type NodeIndex = u32;

/// The nodes of a node set, sorted by `unique_id`.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<GraphNode>,
    /// What is read from the definitions, once somebody asks for it.
    attributes: OnceCell<Vec<Attributes>>,
}

/// A node of a graph.
#[derive(Debug)]
pub(crate) struct GraphNode {
    pub(crate) node: IndexedNode,
    pub(crate) kind: Option<Kind>,
    /// The nodes that it depends on, without those that are not defined.
    pub(crate) parents: Vec<NodeIndex>,
    /// The nodes that depend on it.
    pub(crate) children: Vec<NodeIndex>,
    /// Its tests: those that dbt attached to it, and those that dbt attached to no node and that depend on it.
    pub(crate) tests: Vec<NodeIndex>,
}

impl Graph {
    /// Makes the graph of nodes that are sorted by `unique_id`. A second node with the same id is left out.
    pub(crate) fn new(mut rows: Vec<IndexedNode>) -> Self {
        rows.dedup_by(|one, other| one.unique_id == other.unique_id);
        let nodes = rows.into_iter().map(|node| GraphNode {
            kind: Kind::of(&node.resource_type),
            node,
            parents: Vec::new(),
            children: Vec::new(),
            tests: Vec::new(),
        });
        let mut graph = Self {
            nodes: nodes.collect(),
            attributes: OnceCell::new(),
        };
        for index in graph.indices() {
            let node = &graph.node(index).node;
            let mut parents: Vec<NodeIndex> = node.depends_on.iter().filter_map(|id| graph.find(id)).collect();
            parents.sort_unstable();
            parents.dedup();
            let tested = match node.attached_node.as_ref().and_then(|id| graph.find(id)) {
                Some(attached) => vec![attached],
                None => parents.clone(),
            };
            let is_test = graph.node(index).kind == Some(Kind::Test);
            for parent in &parents {
                graph.nodes[*parent as usize].children.push(index);
            }
            for tested in tested.into_iter().filter(|_| is_test) {
                graph.nodes[tested as usize].tests.push(index);
            }
            graph.nodes[index as usize].parents = parents;
        }
        graph
    }

    pub(crate) fn indices(&self) -> std::ops::Range<NodeIndex> {
        0..NodeIndex::try_from(self.nodes.len()).unwrap_or(NodeIndex::MAX)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, index: NodeIndex) -> &GraphNode {
        &self.nodes[index as usize]
    }

    pub(crate) fn id(&self, index: NodeIndex) -> &str {
        &self.node(index).node.unique_id
    }

    /// Finds a node by dbt's id.
    pub(crate) fn find(&self, unique_id: &str) -> Option<NodeIndex> {
        let found = self
            .nodes
            .binary_search_by(|node| node.node.unique_id.as_str().cmp(unique_id));
        found.ok().and_then(|index| NodeIndex::try_from(index).ok())
    }

    /// The nodes of a kind, sorted by `unique_id`.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = NodeIndex> {
        self.indices().filter(move |index| self.node(*index).kind == Some(kind))
    }

    /// The nodes that a node depends on, directly or not, sorted by `unique_id`.
    pub(crate) fn ancestors(&self, index: NodeIndex) -> Vec<NodeIndex> {
        let mut seen = HashSet::new();
        let mut waiting = self.node(index).parents.clone();
        while let Some(next) = waiting.pop() {
            if next != index && seen.insert(next) {
                waiting.extend(&self.node(next).parents);
            }
        }
        let mut ancestors: Vec<NodeIndex> = seen.into_iter().collect();
        ancestors.sort_unstable();
        ancestors
    }

    /// What was read from the definitions, if somebody asked for it before.
    pub(crate) fn attributes(&self) -> Option<&[Attributes]> {
        self.attributes.get().map(Vec::as_slice)
    }

    /// Keeps what `read` reads from the definitions, unless they were read before. One request reads them, and the others wait.
    pub(crate) async fn keep_attributes<E>(
        &self,
        read: impl Future<Output = Result<Vec<Attributes>, E>>,
    ) -> Result<(), E> {
        self.attributes.get_or_try_init(|| read).await.map(|_| ())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(id: &str, parents: &[&str]) -> IndexedNode {
        IndexedNode {
            id: 0,
            unique_id: id.to_owned(),
            resource_type: id.split('.').next().unwrap().to_owned(),
            name: id.rsplit('.').next().map(str::to_owned),
            package_name: id.split('.').nth(1).map(str::to_owned),
            materialized: None,
            attached_node: None,
            depends_on: parents.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn neighbours_are_found_and_undefined_ones_left_out() {
        let mut attached = node("test.p.t", &["model.p.a", "model.p.b"]);
        attached.attached_node = Some("model.p.b".to_owned());
        let graph = Graph::new(vec![
            node("model.p.a", &["source.p.s.x", "model.p.gone"]),
            node("model.p.b", &["model.p.a", "model.p.a"]),
            node("source.p.s.x", &[]),
            node("test.p.singular", &["model.p.a"]),
            attached,
        ]);
        let index = |id| graph.find(id).unwrap();
        let a = graph.node(index("model.p.a"));
        assert_eq!(a.parents, [index("source.p.s.x")]);
        assert_eq!(
            a.children,
            [index("model.p.b"), index("test.p.singular"), index("test.p.t")]
        );
        assert_eq!(a.tests, [index("test.p.singular")]);
        assert_eq!(graph.node(index("model.p.b")).tests, [index("test.p.t")]);
        let ancestors = graph.ancestors(index("model.p.b"));
        assert_eq!(ancestors, [index("model.p.a"), index("source.p.s.x")]);
        assert_eq!(graph.find("model.p.gone"), None);
    }
}
