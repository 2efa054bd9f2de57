//! The invariants for a file with any bytes. A fuzz target checks them too.

use std::collections::BTreeMap;

use artifacts::{
    ArtifactText, Catalog, CatalogNode, Manifest, Node, NodeContent, NodeResult, Results, ScanError, Scanned, Scanner,
};
use chrono::{DateTime, Datelike, Utc};
use schemas::Sha256;
use serde_json::{Map, Value, json};

/// The sections of a manifest whose entries are nodes.
const SECTIONS: [&str; 11] = [
    "nodes",
    "sources",
    "macros",
    "docs",
    "exposures",
    "metrics",
    "groups",
    "semantic_models",
    "saved_queries",
    "unit_tests",
    "functions",
];

/// The maximum length of a word or number that the scanner accepts, in bytes.
const MAX_TOKEN: usize = 1024;

/// Scans the file like an upload, and reads it like the projector and the API do.
pub(crate) fn check(bytes: &[u8]) {
    let scanned = scan(bytes, usize::MAX);
    for size in [1, 7, 4096] {
        assert_eq!(scan(bytes, size), scanned, "in chunks of {size}");
    }
    if let Some(time) = scanned.as_ref().ok().and_then(|scanned| scanned.generated_at) {
        check_time(time);
    }
    let Ok(text) = ArtifactText::read(bytes.to_vec()) else {
        return;
    };
    let Ok(manifest) = Manifest::read(bytes.to_vec()) else {
        return;
    };
    let refused = matches!(
        scanned,
        Err(ScanError::NotJson { .. } | ScanError::Truncated { .. } | ScanError::Empty)
    );
    assert!(
        !refused || has_long_token(bytes),
        "a readable file was rejected: {scanned:?}"
    );
    check_manifest(&manifest);
    check_results(&text.results().unwrap());
    check_catalog(&text.catalog().unwrap());
    let changed = text.with_env(&[("RUN", "7".to_owned())]).unwrap();
    // A number that is too large for a float is valid JSON, but this reader rejects it.
    if let Ok(Value::Object(file)) = serde_json::from_str(&changed) {
        assert_eq!(file["metadata"]["env"]["RUN"], "7");
        check_that_no_node_is_lost(&manifest, &file);
    }
}

pub(crate) fn scan(bytes: &[u8], size: usize) -> Result<Scanned, ScanError> {
    let mut scanner = Scanner::new();
    for chunk in bytes.chunks(size) {
        scanner.push(chunk)?;
    }
    scanner.finish()
}

fn has_long_token(bytes: &[u8]) -> bool {
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    bytes
        .chunk_by(|one, other| in_token(one) && in_token(other))
        .any(|token| token.len() > MAX_TOKEN)
}

/// Times must fit into PostgreSQL columns and survive serialization in an event.
fn check_time(time: DateTime<Utc>) {
    assert!((0..=9999).contains(&time.year()), "{time}");
}

fn check_manifest(manifest: &Manifest) {
    manifest.metadata.generated_at.into_iter().for_each(check_time);
    let contents: Vec<NodeContent> = manifest.map_nodes(|node| read_all(&node));
    for NodeContent { sha256, json } in &contents {
        assert_eq!(*sha256, Sha256::of(json));
    }
    // The stored content of a node can be read as a node again, with the same content.
    let entries: Vec<String> = contents
        .iter()
        .enumerate()
        .map(|(at, content)| format!("\"{at}\":{}", str::from_utf8(&content.json).unwrap()))
        .collect();
    let again = Manifest::read(format!(r#"{{"nodes":{{{}}}}}"#, entries.join(",")).into_bytes()).unwrap();
    assert_eq!(again.map_nodes(|node| node.content()), contents);
}

/// Reads all fields of a node.
fn read_all(node: &Node<'_>) -> NodeContent {
    let _ = (node.name(), node.package_name(), node.raw_code(), node.compiled_code());
    let _ = (node.materialized(), node.tags(), node.meta(), node.checksum());
    let _ = (node.depends_on_nodes(), node.depends_on_macros(), node.attached_node());
    let _ = node.columns();
    node.content()
}

fn check_results(results: &Results) {
    for result in &results.results {
        let again = NodeResult::from_json(&result.json).unwrap();
        assert_eq!(again.unique_id, result.unique_id);
        assert_eq!(
            (again.message, again.failures, again.adapter_response),
            (result.message.clone(), result.failures, result.adapter_response.clone())
        );
        assert_eq!((again.compile, again.execute), (result.compile, result.execute));
        let spans = [result.compile, result.execute].map(|span| [span.started_at, span.completed_at]);
        let times = spans
            .into_iter()
            .flatten()
            .chain([result.max_loaded_at, result.snapshotted_at]);
        times.flatten().for_each(check_time);
        for number in [results.elapsed_time, result.execution_time, result.age] {
            assert!(number.is_none_or(f64::is_finite));
        }
    }
}

fn check_catalog(catalog: &Catalog) {
    for node in &catalog.nodes {
        let _ = CatalogNode::columns_of(&node.json);
        assert!(Manifest::read(node.json.clone()).is_ok());
    }
}

/// Every entry in a section of nodes is either read or quarantined. Entries are counted by key, since a node may state an id that differs
/// from its key.
fn check_that_no_node_is_lost(manifest: &Manifest, file: &Map<String, Value>) {
    let mut quarantined: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &manifest.quarantined {
        *quarantined.entry(&node.section).or_default() += 1;
    }
    let mut nodes = 0;
    for (section, entries) in file {
        let Some(entries) = entries.as_object() else { continue };
        let has = |node: &Value, key: &str| node.get(key).is_some_and(|value| !value.is_null());
        let is_known = SECTIONS.contains(&section.as_str());
        let is_new = section != "metadata"
            && section.len() <= 100
            && !entries.is_empty()
            && entries
                .values()
                .all(|node| has(node, "unique_id") && has(node, "resource_type"));
        if is_known || is_new {
            let objects = entries.values().filter(|node| node.is_object()).count();
            let others = quarantined.remove(section.as_str()).unwrap_or_default();
            assert_eq!(others, entries.len() - objects, "`{section}`");
            nodes += objects;
        }
    }
    assert_eq!(manifest.map_nodes(|_| ()).len(), nodes);
    assert_eq!(json!(quarantined), json!({}));
}
