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
    Edges(Vec<Edge>, Arc<Selected>),
    /// A list of trees.
    List(Vec<Tree>),
    /// A list that several parts of the answer share.
    Shared(Arc<Shared>, Arc<Selected>),
}

impl Tree {
    /// About as many bytes as the values take that are not nodes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Json(value, _) => size(value),
            Self::Object(fields) => fields.iter().map(|(_, value)| value.size()).sum(),
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Shared(shared, _) => shared.size,
            Self::Nodes { .. } | Self::Node { .. } | Self::Edges(..) => 0,
        }
    }
}

/// An edge of a page.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) cursor: String,
    pub(crate) node: EdgeNode,
}

/// What an edge leads to.
#[derive(Clone, Debug)]
pub(crate) enum EdgeNode {
    Node {
        data: usize,
        shape: Shape,
        index: NodeIndex,
    },
    /// A found node, with where it was found.
    Hit { data: usize, index: NodeIndex, about: Json },
    /// What is no node of the data.
    Json(Json),
}
