//! A layout of large graphs, in which each node is a dot. High layers are as many columns wide as makes the whole about as wide as high; if there
//! are very many layers, they continue below each other like lines of a text.

use super::Graph;
use super::ranks::ranks;

/// How often all layers are ordered by their neighbours.
const SWEEPS: usize = 10;

/// How much wider than high the whole should be.
const ASPECT: usize = 2;

/// The columns between two layers.
const GAP: usize = 3;

/// The rows between two lines of layers.
const BETWEEN_LINES: usize = 2;

/// Places of dots, in distances of neighbouring dots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dots {
    /// Column and row of each node.
    pub(crate) places: Vec<(u32, u32)>,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
}

/// Lays out a graph as dots.
pub(crate) fn dots(graph: &Graph) -> Dots {
    let ranks = ranks(graph);
    let (mut before, mut after) = (vec![Vec::new(); graph.nodes], vec![Vec::new(); graph.nodes]);
    for (from, to) in &ranks.edges {
        after[*from as usize].push(*to);
        before[*to as usize].push(*from);
    }
    let is_alone = |node: usize| before[node].is_empty() && after[node].is_empty();
    let count = ranks.layer.iter().max().map_or(0, |last| *last as usize + 1);
    let mut layers: Vec<Vec<u32>> = vec![Vec::new(); count];
    let mut alone = Vec::new();
    for (node, layer) in (0_u32..).zip(&ranks.layer) {
        if is_alone(node as usize) {
            alone.push(node);
        } else {
            layers[*layer as usize].push(node);
        }
    }
    order(&mut layers, &before, &after);
    // Nodes without edges stand behind the others.
    layers.push(alone);
    layers.retain(|layer| !layer.is_empty());
    let rows = rows(&layers);
    let width: usize = layers.iter().map(|layer| layer.len().div_ceil(rows) + GAP).sum();
    let lines = (width / (ASPECT * (rows + BETWEEN_LINES))).isqrt().max(1);
    let of_line = width.div_ceil(lines);
    let (mut places, mut left, mut line, mut widest) = (vec![(0, 0); graph.nodes], 0, 0, 0);
    for layer in &layers {
        let columns = layer.len().div_ceil(rows);
        if left > 0 && left + columns > of_line + GAP {
            (left, line) = (0, line + 1);
        }
        let top = line * (rows + BETWEEN_LINES) + (rows - layer.len().div_ceil(columns)) / 2;
        for (index, node) in layer.iter().enumerate() {
            places[*node as usize] = ((left + index % columns) as u32, (top + index / columns) as u32);
        }
        widest = widest.max(left + columns);
        left += columns + GAP;
    }
    Dots {
        places,
        columns: widest as u32,
        rows: (line * (rows + BETWEEN_LINES) + rows) as u32,
    }
}

/// The least number of rows with which the whole is not wider than it should be.
fn rows(layers: &[Vec<u32>]) -> usize {
    let width = |rows: usize| {
        layers
            .iter()
            .map(|layer| layer.len().div_ceil(rows) + GAP)
            .sum::<usize>()
    };
    let (mut low, mut high) = (1, layers.iter().map(Vec::len).max().unwrap_or(1).max(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        if width(middle) > ASPECT * middle {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Alternately each node goes to the mean relative position of its parents and of its children.
fn order(layers: &mut [Vec<u32>], before: &[Vec<u32>], after: &[Vec<u32>]) {
    let mut position = vec![0.0; before.len()];
    for layer in &*layers {
        note(layer, &mut position);
    }
    for sweep in 0..SWEEPS {
        let count = layers.len();
        let forward = sweep % 2 == 0;
        for step in 0..count {
            let layer = &mut layers[if forward { step } else { count - 1 - step }];
            let neighbours = if forward { before } else { after };
            let mut keyed: Vec<(f64, u32)> = layer
                .iter()
                .map(|node| {
                    let of = &neighbours[*node as usize];
                    let sum: f64 = of.iter().map(|other| position[*other as usize]).sum();
                    let key = if of.is_empty() {
                        position[*node as usize]
                    } else {
                        sum / of.len() as f64
                    };
                    (key, *node)
                })
                .collect();
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
            layer.clear();
            layer.extend(keyed.into_iter().map(|(_, node)| node));
            note(layer, &mut position);
        }
    }
}

/// Notes the positions in a layer, from 0 at its top to 1.
fn note(layer: &[u32], position: &mut [f64]) {
    for (index, node) in layer.iter().enumerate() {
        position[*node as usize] = (index as f64 + 0.5) / layer.len() as f64;
    }
}
