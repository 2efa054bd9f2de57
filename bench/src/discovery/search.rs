//! A selection, compared with a search over the same graph in memory.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::json;

use super::{Asker, SELECTION};
use crate::installation::{Installation, median};
use crate::project::name_of;
use crate::report::{Goal, Line};

/// How often each is measured, in turns.
const ROUNDS: usize = 11;

pub(super) async fn measure(installation: &Installation, manifest: &[u8], models: usize) -> anyhow::Result<Line> {
    let name = name_of(models / 2);
    let graph = Graph::of(&serde_json::from_slice(manifest)?);
    let start = graph.find(&format!("model.shop.{name}")).context("no such model")?;
    let request = json!({ "query": SELECTION, "variables": { "select": format!("+{name}+") } });
    let api = installation.start("api").await?;
    let asker = Asker::of(installation, &api);
    let answer = asker.ask(&request).await?;
    let selected = answer["lineage"].as_array();
    let mut selected: Vec<&str> = selected
        .context("no lineage")?
        .iter()
        .filter_map(|node| node["uniqueId"].as_str())
        .collect();
    selected.sort_unstable();
    let mut expected: Vec<&str> = graph.connected(start);
    expected.sort_unstable();
    ensure!(
        selected == expected,
        "{} nodes were selected, not {}",
        selected.len(),
        expected.len()
    );
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(asker.milliseconds(&request).await?);
        let begun = Instant::now();
        let text = serde_json::to_vec(&graph.connected(start))?;
        peer.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(!text.is_empty());
    }
    Ok(Line::beside(
        format!(
            "`+a+` in {models} models, {} nodes; a search in memory that writes the same ids",
            expected.len()
        ),
        median(own),
        "ms",
        median(peer),
        Goal::AtMost(3.0),
    )
    .named("selection"))
}

#[derive(Deserialize)]
struct Manifest {
    nodes: HashMap<String, Node>,
    sources: HashMap<String, serde::de::IgnoredAny>,
    exposures: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    depends_on: DependsOn,
}

#[derive(Deserialize)]
struct DependsOn {
    #[serde(default)]
    nodes: Vec<String>,
}

/// A graph by indices, as one would keep it for many searches.
struct Graph {
    ids: Vec<String>,
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
}

impl Graph {
    fn of(manifest: &Manifest) -> Self {
        let ids = manifest
            .nodes
            .keys()
            .chain(manifest.sources.keys())
            .chain(manifest.exposures.keys());
        let mut ids: Vec<String> = ids.cloned().collect();
        ids.sort_unstable();
        let mut graph = Self {
            parents: vec![Vec::new(); ids.len()],
            children: vec![Vec::new(); ids.len()],
            ids,
        };
        for (id, node) in manifest.nodes.iter().chain(&manifest.exposures) {
            for parent in &node.depends_on.nodes {
                if let (Some(index), Some(parent)) = (graph.find(id), graph.find(parent)) {
                    graph.parents[index].push(parent);
                    graph.children[parent].push(index);
                }
            }
        }
        graph
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.ids.binary_search_by(|other| other.as_str().cmp(id)).ok()
    }

    /// The node, all that it depends on and all that depend on it.
    fn connected(&self, start: usize) -> Vec<&str> {
        let mut found = HashSet::from([start]);
        for next in [&self.parents, &self.children] {
            let mut seen = HashSet::from([start]);
            let mut waiting = vec![start];
            while let Some(index) = waiting.pop() {
                waiting.extend(next[index].iter().copied().filter(|other| seen.insert(*other)));
            }
            found.extend(seen);
        }
        found.into_iter().map(|index| self.ids[index].as_str()).collect()
    }
}
