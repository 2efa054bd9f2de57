//! Graphviz, which lays out the same graph.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Returns the models and the edges between them in Graphviz' language.
pub(super) fn graph_of(manifest: &[u8]) -> anyhow::Result<String> {
    let manifest: Value = serde_json::from_slice(manifest)?;
    let nodes = manifest["nodes"].as_object().context("no nodes")?;
    let mut graph = "digraph { rankdir=LR; node [shape=box];\n".to_owned();
    for (id, node) in nodes.iter().filter(|(id, _)| id.starts_with("model.")) {
        writeln!(graph, "{id:?};")?;
        let parents = node["depends_on"]["nodes"].as_array().into_iter().flatten();
        for parent in parents
            .filter_map(Value::as_str)
            .filter(|parent| parent.starts_with("model."))
        {
            writeln!(graph, "{parent:?} -> {id:?};")?;
        }
    }
    graph.push('}');
    Ok(graph)
}

/// Returns how long Graphviz takes to lay the graph out and to write it as SVG.
pub(super) fn seconds(graph: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run Graphviz")?;
    let mut input = child.stdin.take().context("no input")?;
    let text = graph.to_owned();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "Graphviz ended with {}", output.status);
    writing
        .join()
        .map_err(|_| anyhow::anyhow!("writing to Graphviz panicked"))??;
    Ok(begun.elapsed().as_secs_f64())
}
