//! Orders each layer so that few edges cross.

use super::Layered;

/// How often all layers are ordered by their neighbours, at most.
const SWEEPS: usize = 12;

/// Graphs with at most this many vertices also have neighbours in a layer exchanged one by one.
const SMALL: usize = 3_000;

/// Orders the layers: alternately each vertex goes to the mean position of its neighbours before and after it.
pub(super) fn order(layered: &mut Layered) {
    let mut position = vec![0_u32; layered.layer.len()];
    note_positions(&layered.layers, &mut position);
    let is_small = layered.layer.len() <= SMALL;
    let mut best = (crossings(layered, &position), layered.layers.clone());
    let mut without_gain = 0;
    for sweep in 0..SWEEPS {
        if best.0 == 0 || without_gain == 4 {
            break;
        }
        let count = layered.layers.len();
        let forward = sweep % 2 == 0;
        for step in 0..count {
            let layer = if forward { step } else { count - 1 - step };
            let neighbours = if forward { &layered.before } else { &layered.after };
            sort_by_neighbours(&mut layered.layers[layer], neighbours, &mut position);
        }
        if is_small {
            exchange(layered, &mut position);
        }
        let found = crossings(layered, &position);
        without_gain += 1;
        if found < best.0 {
            best = (found, layered.layers.clone());
            without_gain = 0;
        }
    }
    layered.layers = best.1;
}

fn note_positions(layers: &[Vec<u32>], position: &mut [u32]) {
    for layer in layers {
        for (index, vertex) in (0..).zip(layer) {
            position[*vertex as usize] = index;
        }
    }
}

/// A vertex without such neighbours keeps its position.
fn sort_by_neighbours(layer: &mut Vec<u32>, neighbours: &[Vec<u32>], position: &mut [u32]) {
    let mut keyed: Vec<(f64, u32)> = layer
        .iter()
        .map(|vertex| {
            let of = &neighbours[*vertex as usize];
            let sum: f64 = of.iter().map(|other| f64::from(position[*other as usize])).sum();
            let key = if of.is_empty() {
                f64::from(position[*vertex as usize])
            } else {
                sum / of.len() as f64
            };
            (key, *vertex)
        })
        .collect();
    keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
    layer.clear();
    layer.extend(keyed.into_iter().map(|(_, vertex)| vertex));
    for (index, vertex) in (0..).zip(&*layer) {
        position[*vertex as usize] = index;
    }
}

/// Exchanges neighbours in a layer as long as fewer edges cross then.
fn exchange(layered: &mut Layered, position: &mut [u32]) {
    let (before, after) = (&layered.before, &layered.after);
    for _ in 0..4 {
        let mut has_changed = false;
        for layer in &mut layered.layers {
            for index in 1..layer.len() {
                let (one, other) = (layer[index - 1], layer[index]);
                let (mut now, mut then) = (0, 0);
                for neighbours in [before, after] {
                    let (of_one, of_other) = (&neighbours[one as usize], &neighbours[other as usize]);
                    // Nodes with very many neighbours would take too long.
                    if of_one.len() * of_other.len() > 4_000 {
                        continue;
                    }
                    for first in of_one {
                        for second in of_other {
                            let (first, second) = (position[*first as usize], position[*second as usize]);
                            now += u32::from(first > second);
                            then += u32::from(first < second);
                        }
                    }
                }
                if then < now {
                    layer.swap(index - 1, index);
                    position.swap(one as usize, other as usize);
                    has_changed = true;
                }
            }
        }
        if !has_changed {
            return;
        }
    }
}

/// The number of crossings between all layers that follow each other, counted with a Fenwick tree (Barth, Jünger and Mutzel, 2002).
pub(super) fn crossings(layered: &Layered, position: &[u32]) -> u64 {
    let (mut total, mut tree, mut ends) = (0, Vec::new(), Vec::new());
    for (number, layer) in layered.layers.iter().enumerate().skip(1) {
        let size = layered.layers[number - 1].len();
        tree.clear();
        tree.resize(size + 1, 0_u32);
        let mut seen = 0_u64;
        for vertex in layer {
            ends.clear();
            // Straight lines over several layers are not counted.
            let own = layered.layer[*vertex as usize];
            let near = layered.before[*vertex as usize]
                .iter()
                .filter(|other| layered.layer[**other as usize] + 1 == own);
            ends.extend(near.map(|other| position[*other as usize] as usize));
            for end in &ends {
                let (mut index, mut at_or_above) = (end + 1, 0_u64);
                while index > 0 {
                    at_or_above += u64::from(tree[index]);
                    index &= index - 1;
                }
                total += seen - at_or_above;
            }
            for end in &ends {
                seen += 1;
                let mut index = end + 1;
                while index <= size {
                    tree[index] += 1;
                    index += index & index.wrapping_neg();
                }
            }
        }
    }
    total
}
