//! Tests with hostile artifacts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use artifacts::{ArtifactText, Manifest, NodeContent};
use proptest::collection::btree_map;
use proptest::prelude::*;
use schemas::ArtifactKind;

use crate::check::artifact::{check, scan};
use crate::json;
use crate::mutate::damage;

/// The smaller fixtures, so that many changes can be tried.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let names = [
        "manifests/v0-0.18.2.json",
        "run_results/v6-1.12.0-build.json",
        "run_results/v6-1.12.0-docs-generate.json",
        "catalog/v1-1.12.0.json",
        "semantic_manifest/1.12.0.json",
    ];
    names
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .into_iter()
        .collect()
});

const WORDS: &[&str] = &[
    "NaN",
    "-Infinity",
    "null",
    "{",
    "}",
    "[",
    "]",
    "[[[[",
    "\"",
    "\\",
    "\\ud800",
    "\\u0000",
    "\0",
    ":",
    ",",
    "-",
    "1e999",
    "\u{feff}",
    "\"nodes\":{\"a\":{}},",
];

fn content(node: &str) -> NodeContent {
    let manifest = Manifest::read(format!(r#"{{"nodes":{{"a":{node}}}}}"#).into_bytes()).unwrap();
    manifest.map_nodes(|node| node.content()).remove(0)
}

/// Fields of a node, none of which changes with every parse.
fn fields() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(
        "[d-q][a-z_]{0,8}",
        json::value().prop_map(|value| value.replace('\u{e000}', "")),
        0..6,
    )
    .prop_map(|mut fields| {
        for volatile in ["deferred", "extra_ctes"] {
            fields.remove(volatile);
        }
        fields
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn everything_shaped_like_an_artifact_can_be_read(text in json::artifact()) {
        let file = json::bytes(&text);
        prop_assert!(ArtifactText::read(file.clone()).is_ok() && Manifest::read(file.clone()).is_ok());
        check(&file);
    }

    #[test]
    fn a_definition_depends_on_neither_field_order_nor_volatile_fields(
        fields in fields(),
        order in any::<prop::sample::Index>(),
        space in prop::sample::select(vec!["", " ", "\n\t"]),
        time in json::value(),
    ) {
        let plain: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let time = time.replace('\u{e000}', "");
        let mut spaced: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\"{space}:{space}{value}")).collect();
        for volatile in ["created_at", "compiled", "compiled_code", "build_path", "extra_ctes_injected"] {
            spaced.push(format!("\"{volatile}\":{time}"));
        }
        let turn = order.index(spaced.len());
        spaced.rotate_left(turn);
        let one = content(&format!("{{{}}}", plain.join(",")));
        let other = content(&format!("{{{space}{}{space}}}", spaced.join(&format!("{space},{space}"))));
        prop_assert_eq!(&one, &other);
        let more = content(&format!("{{{}}}", [plain, vec![r#""zzz":1"#.to_owned()]].concat().join(",")));
        prop_assert_ne!(one.sha256, more.sha256);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn damaged_files_are_rejected_or_read_without_losing_nodes(damage in damage(WORDS)) {
        check(&damage.apply(&FILES));
    }
}

#[test]
fn huge_files_are_read() {
    let name = "é".repeat(10_000);
    let (many, some) = ("1,".repeat(1_000_000), "1,".repeat(10_000));
    for node in [
        format!(r#"{{"unique_id":"model.p.{name}","name":"{name}","description":"../../{name}"}}"#),
        format!(r#"{{"refs":[{many}1],"tags":[{some}1]}}"#),
        format!(r#"{{"meta":{}1{}}}"#, "[".repeat(110), "]".repeat(110)),
        "{".to_owned() + &r#""name":"a","#.repeat(10_000) + r#""name":"b"}"#,
    ] {
        let file = format!(r#"{{"nodes":{{"{name}":{node}}},"macros":{{}}}}"#).into_bytes();
        check(&file);
        assert_eq!(scan(&file, 4096).unwrap().kind, ArtifactKind::Manifest);
        assert_eq!(Manifest::read(file).unwrap().map_nodes(|_| ()).len(), 1);
    }
}

#[test]
fn the_fixtures_pass_the_checks() {
    for file in FILES.iter() {
        assert!(scan(file, 1000).is_ok());
        check(file);
    }
}
