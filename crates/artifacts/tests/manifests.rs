//! Reads real manifests of all versions: the fixtures, and the corpus if it is available.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use artifacts::{Manifest, Scanned, Scanner};
use schemas::ArtifactKind;
use serde_json::Value;

/// The sections of a manifest that contain nodes, with the resource type of nodes that do not state their own.
const SECTIONS: [(&str, &str); 11] = [
    ("nodes", "unknown"),
    ("sources", "source"),
    ("macros", "macro"),
    ("docs", "doc"),
    ("exposures", "exposure"),
    ("metrics", "metric"),
    ("groups", "group"),
    ("semantic_models", "semantic_model"),
    ("saved_queries", "saved_query"),
    ("unit_tests", "unit_test"),
    ("functions", "function"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.to_string_lossy().contains(".json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        plain
    } else {
        bytes
    }
}

fn scan(bytes: &[u8], chunk: usize) -> Scanned {
    let mut scanner = Scanner::new();
    for part in bytes.chunks(chunk) {
        scanner.push(part).unwrap();
    }
    scanner.finish().unwrap()
}

/// Counts the nodes with a plain JSON reader, independently of this crate.
fn plain_count(bytes: &[u8]) -> BTreeMap<String, usize> {
    let text = String::from_utf8_lossy(bytes)
        .replace("NaN", "null")
        .replace("-Infinity", "null")
        .replace("Infinity", "null");
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut counts = BTreeMap::new();
    for (section, default) in SECTIONS {
        for node in value[section].as_object().into_iter().flat_map(|nodes| nodes.values()) {
            let resource_type = node["resource_type"].as_str().unwrap_or(default);
            *counts.entry(resource_type.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn check(path: &Path, bytes: &[u8]) -> usize {
    let scanned = scan(bytes, 64 * 1024);
    assert_eq!(scanned.kind, ArtifactKind::Manifest, "{}", path.display());
    assert_eq!(scan(bytes, 997), scanned, "{}", path.display());
    let manifest = Manifest::read(bytes.to_vec()).unwrap();
    assert_eq!(manifest.quarantined, [], "{}", path.display());
    assert_eq!(manifest.metadata.dbt_version, scanned.dbt_version, "{}", path.display());
    assert_eq!(
        manifest.metadata.generated_at,
        scanned.generated_at,
        "{}",
        path.display()
    );
    assert!(scanned.generated_at.is_some(), "{}", path.display());
    let types = manifest.map_nodes(|node| {
        let again: Value = serde_json::from_slice(&node.content().json).unwrap();
        assert!(again.get("created_at").is_none());
        if node.resource_type() == "model" {
            assert!(
                node.name().is_some() && node.raw_code().is_some(),
                "{} {}",
                path.display(),
                node.unique_id()
            );
        }
        let found = manifest.node_at(manifest.range_of(&node), node.unique_id(), node.resource_type());
        assert_eq!(found.unwrap().content(), node.content());
        node.resource_type().to_owned()
    });
    let nodes = types.len();
    let mut counts = BTreeMap::new();
    for resource_type in types {
        *counts.entry(resource_type).or_default() += 1;
    }
    assert_eq!(counts, plain_count(bytes), "{}", path.display());
    nodes
}

#[test]
fn the_fixtures_have_the_node_counts_of_a_plain_reader() {
    let files = files(&root().join("fixtures/manifests"));
    assert!(!files.is_empty(), "the fixtures are missing");
    for path in files {
        assert!(check(&path, &read(&path)) > 0, "{}", path.display());
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "people must see how much was read")]
fn the_corpus_has_the_node_counts_of_a_plain_reader() {
    let Some(corpus) = testkit::shared_folder("corpus") else {
        return;
    };
    let mut manifests = 0;
    for path in files(&corpus) {
        let bytes = read(&path);
        let folder = path
            .strip_prefix(&corpus)
            .unwrap()
            .iter()
            .next()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = match folder.as_str() {
            "catalog" => ArtifactKind::Catalog,
            "run_results" => ArtifactKind::RunResults,
            "sources" => ArtifactKind::Sources,
            "semantic_manifest" => ArtifactKind::SemanticManifest,
            _ if name.starts_with("catalog") => ArtifactKind::Catalog,
            _ if name.contains("run_results") => ArtifactKind::RunResults,
            _ if name.starts_with("sources") => ArtifactKind::Sources,
            _ if name.starts_with("semantic") => ArtifactKind::SemanticManifest,
            _ => ArtifactKind::Manifest,
        };
        assert_eq!(scan(&bytes, 64 * 1024).kind, expected, "{}", path.display());
        if expected == ArtifactKind::Manifest {
            check(&path, &bytes);
            manifests += 1;
        }
    }
    eprintln!("read {manifests} manifests of the corpus");
}
