//! What is written: the shape of the answer, with nodes that are written from their data.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::graph::NodeIndex;
use crate::kind::Shape;
use crate::plan::Selected;
use crate::semantic::{Shared, size};

/// A part of the answer.
#[derive(Debug)]
pub(crate) enum Tree {
    /// A field that failed: always `null`, also where a field without a value is written as an empty list.
    Null,
    /// The value of a field, of which only what is selected is written.
    Json(Json, Arc<Selected>),
    /// An object, by the names in the answer.
    Object(Vec<(String, Tree)>),
    /// Nodes of the data with this number.
    Nodes {
        data: usize,
        shape: Shape,
        indices: Vec<NodeIndex>,
        selected: Arc<Selected>,
    },
    /// One node, or null.
    Node {
        data: usize,
        shape: Shape,
        index: Option<NodeIndex>,
        selected: Arc<Selected>,
    },
    /// The edges of a page, each with its node. Before the node, they may have other fields.
    Edges(Arc<[Edge]>, Arc<Selected>),
    List(Vec<Tree>),
    /// A list that several parts of the answer share.
    Shared(Arc<Shared>, Arc<Selected>),
}

impl Tree {
    /// About as many bytes as the tree takes, without the data of its nodes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Json(value, _) => size(value),
            Self::Object(fields) => fields.iter().map(|(_, value)| value.size()).sum(),
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Shared(shared, _) => shared.size,
            Self::Nodes { indices, .. } => size_of_val(&indices[..]),
            Self::Node { .. } => size_of::<Self>(),
            Self::Edges(edges, _) => edges.iter().map(Edge::size).sum(),
        }
    }
}

/// An edge of a page.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) cursor: String,
    pub(crate) node: EdgeNode,
}

impl Edge {
    fn size(&self) -> usize {
        let value = match &self.node {
            EdgeNode::Node { .. } => 0,
            EdgeNode::Hit { about, .. } => size(about),
            EdgeNode::Json(value) => size(value),
        };
        size_of::<Self>() + self.cursor.len() + value
    }
}

/// What an edge leads to.
#[derive(Debug)]
pub(crate) enum EdgeNode {
    Node {
        data: usize,
        shape: Shape,
        index: NodeIndex,
    },
    /// A found node, with where it was found.
    Hit { data: usize, index: NodeIndex, about: Json },
    /// What is not a node of the data.
    Json(Json),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_nodes_have_a_size() {
        let selected = || Arc::new(Selected::named("edges"));
        let edge = |value: &str| Edge {
            cursor: "c".repeat(100),
            node: EdgeNode::Json(value.into()),
        };
        let edges: Arc<[Edge]> = vec![edge(&"x".repeat(1_000)), edge("")].into();
        let tree = Tree::List(vec![
            Tree::Edges(Arc::clone(&edges), selected()),
            Tree::Nodes {
                data: 0,
                shape: Shape::Applied,
                indices: vec![1; 500],
                selected: selected(),
            },
        ]);
        assert!(tree.size() > 1_200 + 2_000, "{}", tree.size());
    }
}
