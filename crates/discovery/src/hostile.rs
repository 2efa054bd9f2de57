//! What must hold for every selection of nodes, whoever wrote it. Tests and a fuzz target check it; the service does not contain it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check that cannot be made has failed"
)]

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

use read_model::queries::discovery::IndexedNode;
use serde_json::json;

use crate::answer::MAX_TIME;
use crate::graph::{Attributes, Graph, NodeIndex};
use crate::select::{Nodes, Selector};

/// Nodes of some kinds, with their parents, of which some do not exist and some depend on each other.
const NODES: [(&str, &[&str]); 10] = [
    ("exposure.p.report", &["model.p.b", "model.p.gone"]),
    ("macro.p.m", &[]),
    ("metric.p.total", &["model.p.b"]),
    ("model.p.a", &["source.p.raw.a", "model.p.c"]),
    ("model.p.b", &["model.p.a", "model.q.d"]),
    ("model.p.c", &["model.p.b"]),
    ("model.q.d", &[]),
    ("source.p.raw.a", &[]),
    ("test.p.unique_a.1", &["model.p.a"]),
    ("unit_test.p.a.t", &["model.p.a"]),
];

struct Project {
    graph: Graph,
    attributes: Vec<Attributes>,
    configs: HashMap<NodeIndex, serde_json::Value>,
}

static PROJECT: LazyLock<Project> = LazyLock::new(|| {
    let nodes = NODES.map(|(id, parents)| IndexedNode {
        id: 0,
        unique_id: id.to_owned(),
        resource_type: id.split('.').next().unwrap().to_owned(),
        name: id.split('.').nth(2).map(str::to_owned),
        package_name: id.split('.').nth(1).map(str::to_owned),
        materialized: None,
        attached_node: None,
        depends_on: parents.iter().map(|id| (*id).to_owned()).collect(),
    });
    let graph = Graph::new(nodes.into());
    let attributes = graph.indices().map(|index| attributes(graph.id(index))).collect();
    let config = json!({"materialized": "table", "severity": "ERROR", "meta": {"flags": ["x", true, 1]}});
    let configs = graph.indices().map(|index| (index, config.clone())).collect();
    Project {
        graph,
        attributes,
        configs,
    }
});

fn attributes(id: &str) -> Attributes {
    let is_model = id.starts_with("model.");
    Attributes {
        access: is_model.then(|| "public".into()),
        fqn: id.split('.').skip(1).map(Box::from).collect(),
        group: is_model.then(|| "finance".into()),
        path: format!("models/{id}.sql").into(),
        patch_path: Some("p://models/schema.yml".into()),
        source_name: id.starts_with("source.").then(|| "raw".into()),
        tags: vec!["daily".into()],
        test_name: id.starts_with("test.").then(|| "unique".into()),
        version: is_model.then(|| "1".into()),
        latest_version: is_model.then(|| "2".into()),
        ..Attributes::default()
    }
}

/// Checks a selection. What follows the first line is what is excluded.
pub fn selection(text: &str) {
    let (select, exclude) = text
        .split_once('\n')
        .map_or((text, None), |(one, other)| (one, Some(other)));
    let Some(chosen) = nodes(Some(select), exclude) else {
        return;
    };
    assert!(chosen.is_sorted_by(|one, other| one < other), "{chosen:?}");
    assert!(
        chosen
            .iter()
            .all(|index| !PROJECT.graph.id(*index).starts_with("macro."))
    );
    let words = select.replace(['"', '\''], "");
    // A word that begins with `-` decides itself to which list it belongs, and no words select everything.
    if words.split_whitespace().any(|word| word.starts_with('-')) || words.trim().is_empty() {
        return;
    }
    let of = |select, exclude| nodes(select, exclude).unwrap_or_default().len();
    assert_eq!(of(Some(select), Some(select)), 0, "what is excluded is selected");
    let (selected, others) = (of(Some(select), None), of(None, Some(select)));
    assert_eq!(selected + others, of(None, None));
}

/// The nodes that are selected, unless the selection is refused.
fn nodes(select: Option<&str>, exclude: Option<&str>) -> Option<Vec<NodeIndex>> {
    let selector = match Selector::parse(select, exclude) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(
                error.message.starts_with("invalid ") && !error.is_not_found(),
                "{error:?}"
            );
            return None;
        }
    };
    let nodes = Nodes {
        graph: &PROJECT.graph,
        attributes: &PROJECT.attributes,
        configs: &PROJECT.configs,
        project: Some("p"),
        until: Instant::now() + MAX_TIME,
    };
    Some(selector.apply(&nodes).unwrap_or_else(|error| panic!("{error}")))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    const PIECES: &[&str] = &[
        "+",
        "@",
        "2",
        "4294967295",
        "99999999999",
        "a",
        "b",
        "*",
        "?",
        "[!a]",
        "[",
        "tag:",
        "config.",
        "config.meta.flags:",
        "source:",
        "path:",
        "models",
        "/",
        ".",
        ",",
        " ",
        "\n",
        "\"",
        "'",
        "--select ",
        "--exclude=",
        "-m",
        ":",
        "version:",
        "latest",
        "test_type:",
        "generic",
        "package:this",
        "state:",
        "é",
        "fqn:",
        "p.a",
        "group:",
        "file:",
        ".sql",
        "raw.a",
        "resource_type:",
        "model",
    ];

    proptest! {
        #[test]
        fn every_selection_is_refused_or_selects_some_nodes(pieces in vec(select(PIECES), 0..12)) {
            super::selection(&pieces.concat());
        }
    }

    #[test]
    fn the_seeds_of_the_fuzz_target_select_nodes() {
        for (seed, text) in seeds() {
            super::selection(&text);
            let (select, exclude) = text
                .split_once('\n')
                .map_or((&*text, None), |(one, other)| (one, Some(other)));
            assert!(super::nodes(Some(select), exclude).is_some(), "{seed} is refused");
        }
    }

    fn seeds() -> Vec<(String, String)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/selection");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files
            .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
            .collect()
    }
}
