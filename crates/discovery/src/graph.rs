//! The nodes of an environment or a run, and how they depend on each other. A set of nodes never changes, so its graph is kept in memory.

mod attributes;
mod cache;

use std::collections::HashSet;

use read_model::queries::discovery::IndexedNode;
use tokio::sync::OnceCell;

pub(crate) use attributes::{Attributes, modeling_layer};
pub(crate) use cache::Graphs;

use crate::kind::Kind;

/// A node, by its place in the graph.
pub(crate) type Place = u32;

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
    pub(crate) parents: Vec<Place>,
    /// The nodes that depend on it.
    pub(crate) children: Vec<Place>,
    /// Its tests: those that dbt attached to it, and those that dbt attached to no node and that depend on it.
    pub(crate) tests: Vec<Place>,
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
        for place in graph.places() {
            let node = &graph.node(place).node;
            let mut parents: Vec<Place> = node.depends_on.iter().filter_map(|id| graph.find(id)).collect();
            parents.sort_unstable();
            parents.dedup();
            let tested = match node.attached_node.as_ref().and_then(|id| graph.find(id)) {
                Some(attached) => vec![attached],
                None => parents.clone(),
            };
            let is_test = graph.node(place).kind == Some(Kind::Test);
            for parent in &parents {
                graph.nodes[*parent as usize].children.push(place);
            }
            for tested in tested.into_iter().filter(|_| is_test) {
                graph.nodes[tested as usize].tests.push(place);
            }
            graph.nodes[place as usize].parents = parents;
        }
        graph
    }

    pub(crate) fn places(&self) -> std::ops::Range<Place> {
        0..Place::try_from(self.nodes.len()).unwrap_or(Place::MAX)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, place: Place) -> &GraphNode {
        &self.nodes[place as usize]
    }

    pub(crate) fn id(&self, place: Place) -> &str {
        &self.node(place).node.unique_id
    }

    /// Finds a node by dbt's id.
    pub(crate) fn find(&self, unique_id: &str) -> Option<Place> {
        let found = self
            .nodes
            .binary_search_by(|node| node.node.unique_id.as_str().cmp(unique_id));
        found.ok().and_then(|place| Place::try_from(place).ok())
    }

    /// The nodes of a kind, sorted by `unique_id`.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Place> {
        self.places().filter(move |place| self.node(*place).kind == Some(kind))
    }

    /// The nodes that a node depends on, directly or not, sorted by `unique_id`.
    pub(crate) fn ancestors(&self, place: Place) -> Vec<Place> {
        let mut seen = HashSet::new();
        let mut waiting = self.node(place).parents.clone();
        while let Some(next) = waiting.pop() {
            if next != place && seen.insert(next) {
                waiting.extend(&self.node(next).parents);
            }
        }
        let mut ancestors: Vec<Place> = seen.into_iter().collect();
        ancestors.sort_unstable();
        ancestors
    }

    /// What was read from the definitions, if somebody asked for it before.
    pub(crate) fn attributes(&self) -> Option<&[Attributes]> {
        self.attributes.get().map(Vec::as_slice)
    }

    /// Keeps what was read from the definitions.
    pub(crate) fn keep_attributes(&self, attributes: Vec<Attributes>) {
        let _ = self.attributes.set(attributes);
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
        let place = |id| graph.find(id).unwrap();
        let a = graph.node(place("model.p.a"));
        assert_eq!(a.parents, [place("source.p.s.x")]);
        assert_eq!(
            a.children,
            [place("model.p.b"), place("test.p.singular"), place("test.p.t")]
        );
        assert_eq!(a.tests, [place("test.p.singular")]);
        assert_eq!(graph.node(place("model.p.b")).tests, [place("test.p.t")]);
        let ancestors = graph.ancestors(place("model.p.b"));
        assert_eq!(ancestors, [place("model.p.a"), place("source.p.s.x")]);
        assert_eq!(graph.find("model.p.gone"), None);
    }
}
