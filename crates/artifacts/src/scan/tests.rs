use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn scan(bytes: &[u8], size: usize) -> Result<Scanned, ScanError> {
    let mut scanner = Scanner::new();
    for chunk in bytes.chunks(size) {
        scanner.push(chunk)?;
    }
    scanner.finish()
}

fn kind_of(value: &Value) -> ArtifactKind {
    scan(value.to_string().as_bytes(), 7).unwrap().kind
}

#[test]
fn the_structure_determines_the_kind() {
    assert_eq!(
        kind_of(&json!({"nodes": {}, "macros": {}, "sources": {}})),
        ArtifactKind::Manifest
    );
    assert_eq!(
        kind_of(&json!({"results": [{"status": "success"}]})),
        ArtifactKind::RunResults
    );
    assert_eq!(
        kind_of(&json!({"results": [{"max_loaded_at": "x"}]})),
        ArtifactKind::Sources
    );
    assert_eq!(kind_of(&json!({"nodes": {}, "sources": {}})), ArtifactKind::Catalog);
    assert_eq!(kind_of(&json!({"meta": {}, "sources": {}})), ArtifactKind::Sources);
    let semantic = json!({"semantic_models": [], "metrics": [], "project_configuration": {}});
    assert_eq!(kind_of(&semantic), ArtifactKind::SemanticManifest);
    let version = "https://schemas.getdbt.com/dbt/sources/v3.json";
    let empty = json!({"metadata": {"dbt_schema_version": version}, "results": []});
    assert_eq!(kind_of(&empty), ArtifactKind::Sources);
    assert_eq!(kind_of(&json!({"results": []})), ArtifactKind::RunResults);
}

#[test]
fn metadata_is_found_anywhere_in_the_file() {
    let text = br#"{"macros":{},"nodes":{"a":{"metadata":{"dbt_version":"no"}}},
        "metadata":{"env":{"dbt_version":"no"},"dbt_version":"1.12.6","invocation_id":"i","generated_at":"2026-11-24T09:00:00.5Z"}}"#;
    for size in [1, 2, 3, 1000] {
        let scanned = scan(text, size).unwrap();
        assert_eq!(scanned.dbt_version.as_deref(), Some("1.12.6"));
        assert_eq!(scanned.invocation_id.as_deref(), Some("i"));
        assert_eq!(
            scanned.generated_at.unwrap().to_rfc3339(),
            "2026-11-24T09:00:00.500+00:00"
        );
    }
}

#[test]
fn invalid_json_that_dbt_writes_is_accepted() {
    let text = b"\xef\xbb\xbf {\"nodes\": {\"a\": [NaN, Infinity, -Infinity, -1.5e+3, \"\xff \\ud800 \\u0000\"]}, \"macros\": {}}\n";
    for size in [1, 5, 1000] {
        assert_eq!(scan(text, size).unwrap().kind, ArtifactKind::Manifest, "{size}");
    }
}

#[test]
fn a_byte_order_mark_must_be_complete_and_first() {
    let manifest = br#"{"nodes": {}, "macros": {}}"#;
    for (before, passes) in [
        (&b"\xef\xbb\xbf"[..], true),
        (b"\xef\xbb\xbf \n", true),
        (b"\xef", false),
        (b"\xef\xbb", false),
        (b"\xef \xbb\xbf", false),
        (b" \xef\xbb\xbf", false),
        (b"\xef\xbb\xbf\xef\xbb\xbf", false),
    ] {
        for size in [1, 2, 1000] {
            assert_eq!(scan(&[before, manifest].concat(), size).is_ok(), passes, "{before:x?}");
        }
    }
}

#[test]
fn years_have_four_digits() {
    let time = |text| facts::read_time(text).map(|time| time.to_rfc3339());
    assert_eq!(time("2026-01-01T00:00:00").unwrap(), "2026-01-01T00:00:00+00:00");
    assert_eq!(time("9999-12-31T23:59:59.5Z").unwrap(), "9999-12-31T23:59:59.500+00:00");
    for odd in [
        "-262143-01-01T00:00:00",
        "+262142-01-01T00:00:00",
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ] {
        assert_eq!(time(odd), None, "{odd}");
    }
}

#[test]
fn each_fault_is_reported() {
    let error = |text: &str| scan(text.as_bytes(), 3).unwrap_err().to_string();
    assert!(error("").contains("empty"));
    assert!(error("  ").contains("empty"));
    assert!(error("<html>").contains("not JSON: found `<` at byte 0"));
    assert!(error("[1]").contains("it is a list"));
    assert!(error("\"a\"").contains("it is a string"));
    assert!(error("12").contains("a number"));
    assert!(error(r#"{"a": 1, "b": 2}"#).contains("its keys are a, b"));
    assert!(error("{}").contains("an empty object"));
    assert!(error(r#"{"nodes": {}, "macros": {"#).contains("truncated: it ends after 25 bytes with 2 brackets open"));
    assert!(error(r#"{"nodes": {}, "mac"#).contains("truncated"));
    assert!(error(r#"{"nodes": {} "macros": {}}"#).contains("a comma"));
    assert!(error(r#"{"nodes" {}}"#).contains("expected `:`"));
    assert!(error(r#"{"nodes": {},}"#).contains("expected a key"));
    assert!(error(r#"{"nodes": [1,]}"#).contains("expected a value"));
    assert!(error(r#"{"nodes": nope}"#).contains("`nope`"));
    assert!(error(r#"{"nodes": {}, "macros": {}} x"#).contains("expected the end of the file"));
    assert!(error(&format!("{{\"nodes\":{}", "[".repeat(1000))).contains("levels deep"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn complete_json_is_accepted_and_every_prefix_is_rejected(nodes in value(), size in 1usize..40, cut in 0.0..1.0f64) {
        let text = json!({"nodes": {"a": nodes}, "macros": {}}).to_string();
        prop_assert_eq!(scan(text.as_bytes(), size).unwrap().kind, ArtifactKind::Manifest);
        let cut = (cut * text.len() as f64) as usize;
        prop_assert!(scan(&text.as_bytes()[..cut], size).is_err());
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1usize..40) {
        let _ = scan(&bytes, size);
    }
}
