use std::collections::HashSet;

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn graph(nodes: usize, edges: &[(u32, u32)]) -> Graph {
    Graph {
        nodes,
        edges: edges.to_vec(),
    }
}

/// A graph as dbt has it: each node reads one to three of those before it.
fn project(nodes: u32, seed: u64) -> Graph {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut edges = HashSet::new();
    for node in 1..nodes {
        for _ in 0..random.random_range(0..4) {
            edges.insert((random.random_range(node.saturating_sub(nodes / 3)..node), node));
        }
    }
    let mut edges: Vec<(u32, u32)> = edges.into_iter().collect();
    edges.sort_unstable();
    Graph {
        nodes: nodes as usize,
        edges,
    }
}

/// What holds of every layout.
fn check(graph: &Graph) -> Layout {
    let layout = lay_out(graph);
    assert!(layout.places.len() >= graph.nodes);
    for (from, to) in &layout.parts {
        let (from, to) = (layout.places[*from as usize], layout.places[*to as usize]);
        assert!(from.layer < to.layer, "edges lead to the right");
    }
    let mut of_layers: Vec<Vec<(f64, bool)>> = vec![Vec::new(); layout.layers as usize];
    for (index, place) in layout.places.iter().enumerate() {
        assert!(
            place.y.is_finite() && place.y >= 0.0 && place.y <= layout.height,
            "{place:?} of {}",
            layout.height
        );
        of_layers[place.layer as usize].push((place.y, index < graph.nodes));
    }
    for layer in &mut of_layers {
        layer.sort_by(|one, other| one.0.total_cmp(&other.0));
        let nodes: Vec<f64> = layer.iter().filter(|(_, is_node)| *is_node).map(|(y, _)| *y).collect();
        assert!(
            nodes.windows(2).all(|pair| pair[1] - pair[0] > 0.999),
            "nodes do not overlap"
        );
    }
    layout
}

/// Whether the parts of the edges lead from one node to another.
fn is_connected(layout: &Layout, nodes: usize, from: u32, to: u32) -> bool {
    let mut waiting = vec![from];
    while let Some(vertex) = waiting.pop() {
        for (_, next) in layout.parts.iter().filter(|(start, _)| *start == vertex) {
            if *next == to {
                return true;
            }
            if *next as usize >= nodes {
                waiting.push(*next);
            }
        }
    }
    false
}

#[test]
fn nothing_is_laid_out() {
    let layout = check(&Graph::default());
    assert_eq!((layout.layers, layout.height), (0, 0.0));
    assert_eq!(dots(&Graph::default()).columns, 0);
}

#[test]
fn edges_lead_to_the_right_and_nodes_do_not_overlap() {
    for seed in 0..20 {
        let graph = project(60, seed);
        let layout = check(&graph);
        for (from, to) in &graph.edges {
            assert!(is_connected(&layout, graph.nodes, *from, *to), "{from} -> {to}");
        }
        assert_eq!(dots(&graph).places.iter().collect::<HashSet<_>>().len(), graph.nodes);
    }
}

#[test]
fn a_tree_has_no_crossings_and_parents_are_in_the_middle() {
    let layout = check(&graph(7, &[(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)]));
    assert_eq!((layout.layers, layout.height), (3, 4.0));
    let y = |node: usize| layout.places[node].y;
    assert_eq!(y(1), f64::midpoint(y(3), y(4)));
    assert_eq!(y(0), f64::midpoint(y(1), y(2)));
}

#[test]
fn crossings_are_removed() {
    // Ordered by their numbers, all of these edges cross.
    let layout = check(&graph(8, &[(0, 7), (1, 6), (2, 5), (3, 4)]));
    let y = |node: usize| layout.places[node].y;
    for (from, to) in [(0, 7), (1, 6), (2, 5), (3, 4)] {
        assert_eq!(y(from), y(to));
    }
}

#[test]
fn a_node_with_children_stands_right_before_them() {
    let layout = check(&graph(4, &[(0, 1), (1, 2), (3, 2)]));
    assert_eq!(layout.places[3].layer, 1);
}

#[test]
fn circles_and_edges_to_oneself_end() {
    let layout = check(&graph(4, &[(0, 0), (0, 1), (1, 2), (2, 0), (3, 3)]));
    assert_eq!(layout.parts.len(), 4, "one edge back, over a point");
    let ring: Vec<(u32, u32)> = (0..5_000).map(|node| (node, (node + 1) % 5_000)).collect();
    check(&graph(5_000, &ring));
    dots(&graph(5_000, &ring));
}

#[test]
fn points_are_bounded() {
    // A chain whose first node leads to all others, and whose last is led to from all others.
    let count = 2_000;
    let mut edges: Vec<(u32, u32)> = (1..count).map(|node| (node - 1, node)).collect();
    edges.extend((2..count).map(|node| (0, node)));
    edges.extend((1..count - 2).map(|node| (node, count - 1)));
    let graph = graph(count as usize, &edges);
    let layout = check(&graph);
    assert!(layout.places.len() < graph.nodes + POINTS * (graph.nodes + edges.len()));
}

#[test]
fn nodes_without_edges_stand_below_the_others() {
    let layout = check(&graph(12, &[(0, 1)]));
    let y = |node: usize| layout.places[node].y;
    assert!((2..12).all(|node| y(node) > y(0)));
    let alone = check(&graph(100, &[]));
    assert!(alone.layers > 1, "not in one column");
}

#[test]
fn dots_are_about_as_wide_as_high() {
    let dots = dots(&project(5_000, 1));
    assert_eq!(dots.places.iter().collect::<HashSet<_>>().len(), 5_000);
    let aspect = f64::from(dots.columns) / f64::from(dots.rows);
    assert!((1.0..=2.0).contains(&aspect), "{aspect}");
}

#[test]
fn a_long_chain_of_dots_continues_below() {
    let chain: Vec<(u32, u32)> = (1..5_000).map(|node| (node - 1, node)).collect();
    let dots = dots(&graph(5_000, &chain));
    assert_eq!(dots.places.iter().collect::<HashSet<_>>().len(), 5_000);
    let aspect = f64::from(dots.columns) / f64::from(dots.rows);
    assert!((1.0..=3.0).contains(&aspect), "{aspect}");
    assert!(
        dots.places
            .iter()
            .all(|(column, row)| *column < dots.columns && *row < dots.rows)
    );
}
