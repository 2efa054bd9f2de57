//! The layer of each node.

use super::Graph;

/// The layers of the nodes, and edges that all lead to a higher layer.
pub(super) struct Ranks {
    pub(super) layer: Vec<u32>,
    pub(super) edges: Vec<(u32, u32)>,
}

/// Gives each node a layer after those of its parents. Edges that close a circle are turned, and edges from a node to itself are left out.
pub(super) fn ranks(graph: &Graph) -> Ranks {
    let edges = without_circles(graph);
    let (mut after, mut parents) = (vec![Vec::new(); graph.nodes], vec![0_u32; graph.nodes]);
    for (from, to) in &edges {
        after[*from as usize].push(*to);
        parents[*to as usize] += 1;
    }
    let mut layer = vec![0_u32; graph.nodes];
    let mut missing = parents.clone();
    let mut sorted: Vec<u32> = (0..graph.nodes as u32)
        .filter(|node| parents[*node as usize] == 0)
        .collect();
    let mut next = 0;
    while let Some(node) = sorted.get(next).copied() {
        next += 1;
        for to in &after[node as usize] {
            let to_index = *to as usize;
            layer[to_index] = layer[to_index].max(layer[node as usize] + 1);
            missing[to_index] -= 1;
            if missing[to_index] == 0 {
                sorted.push(*to);
            }
        }
    }
    // A node with more children than parents stands right before its children: so edges are shorter.
    for node in sorted.iter().rev().map(|node| *node as usize) {
        let nearest = after[node].iter().map(|to| layer[*to as usize]).min();
        if let Some(nearest) = nearest.filter(|_| after[node].len() > parents[node] as usize) {
            layer[node] = nearest - 1;
        }
    }
    Ranks { layer, edges }
}

/// Turns the edges that lead back to a node whose descendants are being visited.
fn without_circles(graph: &Graph) -> Vec<(u32, u32)> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut after = vec![Vec::new(); graph.nodes];
    for (from, to) in &graph.edges {
        if from != to {
            after[*from as usize].push(*to);
        }
    }
    let mut state = vec![State::New; graph.nodes];
    let mut edges = Vec::with_capacity(graph.edges.len());
    // With a stack of its own, since a circle may be as long as the project.
    let mut stack: Vec<(u32, usize)> = Vec::new();
    for root in 0..graph.nodes as u32 {
        if state[root as usize] != State::New {
            continue;
        }
        state[root as usize] = State::Open;
        stack.push((root, 0));
        while let Some((node, child)) = stack.last_mut() {
            let Some(to) = after[*node as usize].get(*child).copied() else {
                state[*node as usize] = State::Done;
                stack.pop();
                continue;
            };
            *child += 1;
            match state[to as usize] {
                State::Open => edges.push((to, *node)),
                State::Done => edges.push((*node, to)),
                State::New => {
                    edges.push((*node, to));
                    state[to as usize] = State::Open;
                    stack.push((to, 0));
                }
            }
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}
