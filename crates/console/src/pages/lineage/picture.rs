//! Pictures of graphs, of which those that were used last are kept.

use std::sync::Arc;

use api::Error;
use api::lineage::Chosen;
use discovery::{NodeIndex, Recent};
use read_model::queries::discovery::NodeSet;
use schemas::{AccountId, Sha256};

use crate::layered::{Dots, Graph, Layout, dots, lay_out};

/// The most nodes that have a text.
const MAX_LABELS: usize = 150;

/// The most places, parts of edges and edges in all pictures that are kept. Each takes about 12 bytes.
const MAX_KEPT: usize = 2_000_000;

/// Where the nodes and edges of a selection are drawn. A node is named by its place in the selection.
#[derive(Debug)]
pub(super) struct Picture {
    /// From parents to children, sorted.
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) drawn: Drawn,
}

/// The places.
#[derive(Debug)]
pub(super) enum Drawn {
    /// Each node has a text.
    Labels(Layout),
    /// Each node is a dot.
    Dots(Dots),
}

/// The pictures that were used last, by node set and chosen nodes.
#[derive(Clone, Debug)]
pub(super) struct Pictures(Recent<(AccountId, NodeSet, Sha256), Picture>);

impl Default for Pictures {
    fn default() -> Self {
        Self(Recent::new(MAX_KEPT, |picture| {
            let drawn = match &picture.drawn {
                Drawn::Labels(layout) => 2 * layout.places.len() + layout.parts.len(),
                Drawn::Dots(dots) => dots.places.len(),
            };
            picture.edges.len() + drawn + 100
        }))
    }
}

/// Returns the picture of the chosen nodes.
pub(super) async fn of(
    Pictures(pictures): &Pictures,
    account: AccountId,
    chosen: &Chosen,
) -> Result<Arc<Picture>, Error> {
    let Some(node_set) = chosen.defined.node_set() else {
        return Ok(Arc::new(Picture::new(&Graph::default())));
    };
    let indices: Vec<u8> = chosen.nodes.iter().flat_map(|node| node.to_le_bytes()).collect();
    let make = async {
        let graph = graph(chosen);
        let making = tokio::task::spawn_blocking(move || Picture::new(&graph));
        making.await.map_err(|panic| Error::unreadable(&panic))
    };
    pictures.get((account, node_set, Sha256::of(&indices)), make).await
}

/// The dependencies between the chosen nodes.
fn graph(chosen: &Chosen) -> Graph {
    let place = |node: &NodeIndex| {
        chosen
            .nodes
            .binary_search(node)
            .ok()
            .and_then(|place| u32::try_from(place).ok())
    };
    let mut edges: Vec<(u32, u32)> = Vec::new();
    for (to, node) in (0..).zip(&chosen.nodes) {
        let parents = chosen.defined.graph().node(*node).parents.iter();
        edges.extend(parents.filter_map(|parent| Some((place(parent)?, to))));
    }
    edges.sort_unstable();
    Graph {
        nodes: chosen.nodes.len(),
        edges,
    }
}

impl Picture {
    fn new(graph: &Graph) -> Self {
        Self {
            edges: graph.edges.clone(),
            drawn: if graph.nodes <= MAX_LABELS {
                Drawn::Labels(lay_out(graph))
            } else {
                Drawn::Dots(dots(graph))
            },
        }
    }
}
