//! Lays out directed graphs in layers, from the left to the right (Sugiyama's method).
//!
//! Edges lead from lower layers to higher ones; each layer is ordered so that few edges cross. All steps take time that grows about as the
//! number of nodes and edges, so that the graph of a large project is laid out in milliseconds.

mod dots;
mod order;
mod place;
mod ranks;
#[cfg(test)]
mod tests;

pub(crate) use dots::{Dots, dots};
use order::order;
use place::place;
use ranks::ranks;

/// How many points long edges may have in all, for each node and edge. Edges that would need more are drawn as straight lines.
const POINTS: usize = 6;

/// A graph: the number of nodes, and edges between their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: usize,
    /// Sorted, from parents to children.
    pub(crate) edges: Vec<(u32, u32)>,
}

/// Where a node, or a point of a long edge, is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    /// The layer, counted from the left from 0.
    pub(crate) layer: u32,
    /// The height of its middle, from the top, in heights of a node.
    pub(crate) y: f64,
}

/// A layout in which nodes have room for a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// The places of the nodes, and after them of the points that long edges pass.
    pub(crate) places: Vec<Place>,
    /// The parts of the edges, from lower layers to higher ones. Edges with the same start share their parts.
    pub(crate) parts: Vec<(u32, u32)>,
    /// The number of layers.
    pub(crate) layers: u32,
    /// The height of the whole, in heights of a node.
    pub(crate) height: f64,
}

/// Vertices in layers: the nodes, and the points that long edges pass.
#[derive(Debug, Default)]
struct Layered {
    /// How many of the vertices are nodes; these come first.
    nodes: usize,
    /// The layer of each vertex.
    layer: Vec<u32>,
    /// The vertices of each layer, from the top.
    layers: Vec<Vec<u32>>,
    /// The neighbours of each vertex in lower layers, and in higher ones.
    before: Vec<Vec<u32>>,
    after: Vec<Vec<u32>>,
}

/// Lays out a graph whose nodes have room for a text. Nodes without edges stand below the others.
pub(crate) fn lay_out(graph: &Graph) -> Layout {
    let ranks = ranks(graph);
    let mut layered = with_points(graph.nodes, &ranks.layer, &ranks.edges);
    let alone: Vec<u32> = (0..graph.nodes as u32)
        .filter(|node| layered.before[*node as usize].is_empty() && layered.after[*node as usize].is_empty())
        .collect();
    let is_alone = |vertex: &u32| alone.binary_search(vertex).is_ok();
    for layer in &mut layered.layers {
        layer.retain(|vertex| !is_alone(vertex));
    }
    layered.layers.retain(|layer| !layer.is_empty());
    order(&mut layered);
    let mut y = place(&layered);
    let mut height = layered
        .layers
        .iter()
        .flatten()
        .map(|vertex| y[*vertex as usize] + 0.5)
        .fold(0.0, f64::max);
    let columns = layered.layers.len().max(alone.len().isqrt().min(6)).max(1);
    let gap = if height > 0.0 { 0.5 } else { 0.0 };
    for (index, node) in alone.iter().enumerate() {
        layered.layer[*node as usize] = (index % columns) as u32;
        y[*node as usize] = height + gap + (index / columns) as f64 + 0.5;
    }
    if !alone.is_empty() {
        height += gap + alone.len().div_ceil(columns) as f64;
    }
    let places = layered.layer.iter().zip(y).map(|(layer, y)| Place { layer: *layer, y });
    let parts = (0..)
        .zip(&layered.after)
        .flat_map(|(from, after)| after.iter().map(move |to| (from, *to)));
    let layers = layered.layer.iter().max().map_or(0, |last| last + 1);
    Layout {
        parts: parts.collect(),
        places: places.collect(),
        layers,
        height,
    }
}

/// Adds the points that long edges pass, one in each layer. The edges of a node share them. `edges` lead to higher layers.
fn with_points(nodes: usize, layer: &[u32], edges: &[(u32, u32)]) -> Layered {
    let mut after = vec![Vec::new(); nodes];
    for (from, to) in edges {
        after[*from as usize].push(*to);
    }
    let reach = |node: usize| {
        let lengths = after[node].iter().map(|to| layer[*to as usize] - layer[node]);
        lengths.max().unwrap_or_default() as usize
    };
    let mut long: Vec<(usize, usize)> = (0..nodes)
        .map(|node| (reach(node), node))
        .filter(|(reach, _)| *reach > 1)
        .collect();
    // The shorter ones first: they are the most, and the others are straight lines if there are too many points.
    long.sort_unstable();
    let mut left = POINTS * (nodes + edges.len());
    let mut layered = Layered {
        nodes,
        layer: layer.to_vec(),
        layers: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
    };
    let mut of_points: Vec<Vec<u32>> = Vec::new();
    for (reach, node) in long {
        let Some(less) = left.checked_sub(reach - 1) else { break };
        left = less;
        let targets = std::mem::take(&mut after[node]);
        let own = layer[node];
        let mut chain = vec![Vec::new(); reach];
        for to in targets {
            chain[(layer[to as usize] - own - 1) as usize].push(to);
        }
        let first = (nodes + of_points.len()) as u32;
        for (step, mut targets) in chain.into_iter().enumerate() {
            if step + 1 < reach {
                targets.push(first + step as u32);
                layered.layer.push(own + step as u32 + 1);
            }
            match step {
                0 => after[node] = targets,
                _ => of_points.push(targets),
            }
        }
    }
    after.extend(of_points);
    layered.before = vec![Vec::new(); after.len()];
    for (from, targets) in (0..).zip(&after) {
        for to in targets {
            layered.before[*to as usize].push(from);
        }
    }
    layered.after = after;
    let count = layered.layer.iter().max().map_or(0, |last| *last as usize + 1);
    layered.layers = vec![Vec::new(); count];
    for (vertex, layer) in (0..).zip(&layered.layer) {
        layered.layers[*layer as usize].push(vertex);
    }
    layered
}
