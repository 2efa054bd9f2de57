//! Queries, written well and written badly.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "check/document.rs"]
mod document;
#[path = "../../../../schemas/tests/hostile/mutate.rs"]
mod mutate;

use std::sync::LazyLock;

use mutate::damage;
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "!",
    "$",
    "$id",
    "@skip(if: true)",
    "@include(if: $id)",
    "...",
    "... on Query",
    "...f",
    "fragment f on Query",
    "query",
    "mutation",
    "subscription",
    "\"",
    "\"\"\"",
    "\\",
    "#",
    "\n",
    "\0",
    "null",
    "1e999",
    "99999999999999999999",
    "é",
    "__schema",
    "__type",
    "__typename",
    "fields",
    "types",
    "edges",
    "node",
    "first: -1",
    "environment",
];

/// The files that the fuzz target begins with.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/document");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_query_is_refused_or_accepted(damage in damage(WORDS)) {
        document::check(&String::from_utf8_lossy(&damage.apply(&SEEDS)));
    }
}

#[tokio::test]
async fn the_seeds_are_valid_queries() {
    use discovery::{Api, Query};
    for seed in SEEDS.iter() {
        let text = String::from_utf8_lossy(seed);
        let (query, variables) = text.split_once('\0').unwrap_or((&text, "{}"));
        let variables: serde_json::Value = serde_json::from_str(variables).unwrap();
        let body = serde_json::json!({ "query": query, "variables": variables }).to_string();
        let api = if query.contains("metrics") {
            Api::SemanticLayer
        } else {
            Api::Discovery
        };
        if let Err(error) = Query::read(api, body.as_bytes()).await {
            panic!("{query}: {error:?}");
        }
    }
}
