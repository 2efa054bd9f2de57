//! The heights of the vertices, with the order of their layers.

use super::Layered;

/// How often the layers are placed, alternately by their neighbours before and after them.
const SWEEPS: usize = 8;

/// The height that a point of a long edge takes, in heights of a node.
const POINT: f64 = 0.3;

/// Places each vertex near its neighbours, and at least its height from those above and below it. Returns the heights of their middles; the
/// highest vertex begins at 0.
pub(super) fn place(layered: &Layered) -> Vec<f64> {
    let mut y = vec![0.0; layered.layer.len()];
    let size = |vertex: u32| if (vertex as usize) < layered.nodes { 1.0 } else { POINT };
    for layer in &layered.layers {
        let mut top = 0.0;
        for vertex in layer {
            y[*vertex as usize] = top + size(*vertex) / 2.0;
            top += size(*vertex);
        }
    }
    let count = layered.layers.len();
    for sweep in 0..SWEEPS {
        for step in 0..count {
            let forward = sweep % 2 == 0;
            let layer = if forward { step } else { count - 1 - step };
            let wanted: Vec<(f64, f64)> = layered.layers[layer]
                .iter()
                .map(|vertex| {
                    let neighbours = if forward { &layered.before } else { &layered.after };
                    let (mut sum, mut weights) = (0.0, 0.0);
                    for other in &neighbours[*vertex as usize] {
                        // Long edges should be straight.
                        let are_points = (*other as usize) >= layered.nodes && (*vertex as usize) >= layered.nodes;
                        let weight = if are_points { 4.0 } else { 1.0 };
                        sum += weight * y[*other as usize];
                        weights += weight;
                    }
                    if weights > 0.0 {
                        (sum / weights, weights)
                    } else {
                        (y[*vertex as usize], 0.1)
                    }
                })
                .collect();
            spread(&layered.layers[layer], &wanted, size, &mut y);
        }
    }
    let top = layered
        .layers
        .iter()
        .filter_map(|layer| layer.first())
        .map(|vertex| y[*vertex as usize] - size(*vertex) / 2.0);
    let top = top.fold(f64::INFINITY, f64::min);
    for height in &mut y {
        *height -= if top.is_finite() { top } else { 0.0 };
    }
    y
}

/// Places the vertices of a layer as near to the wanted heights as their sizes permit: the least squares under the order, which adjacent
/// groups that overlap reach by joining (isotonic regression).
fn spread(layer: &[u32], wanted: &[(f64, f64)], size: impl Fn(u32) -> f64, y: &mut [f64]) {
    /// Vertices that touch each other: the height of the first one, the sum of their weights, and how many they are.
    struct Group {
        at: f64,
        weight: f64,
        count: usize,
    }
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (index, vertex) in layer.iter().enumerate() {
        if index > 0 {
            offset += f64::midpoint(size(layer[index - 1]), size(*vertex));
        }
        offsets.push(offset);
    }
    let mut groups: Vec<Group> = Vec::with_capacity(layer.len());
    for ((at, weight), offset) in wanted.iter().zip(&offsets) {
        let mut group = Group {
            at: at - offset,
            weight: *weight,
            count: 1,
        };
        while let Some(before) = groups.pop_if(|before| before.at > group.at) {
            let weight = before.weight + group.weight;
            group.at = (before.at * before.weight + group.at * group.weight) / weight;
            group.weight = weight;
            group.count += before.count;
        }
        groups.push(group);
    }
    let mut vertices = layer.iter().zip(&offsets);
    for group in groups {
        for (vertex, offset) in vertices.by_ref().take(group.count) {
            y[*vertex as usize] = group.at + offset;
        }
    }
}
