//! Checks that the committed JSON Schemas match the types.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::path::Path;

#[test]
fn the_committed_json_schemas_match_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    let files = schemas::json_schema_files();
    for (name, text) in &files {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "schemas/json/{name} is out of date: run ./dev schemas and commit the result"
        );
    }
    let committed = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        committed,
        files.len(),
        "schemas/json has files for types that no longer exist: delete them"
    );
}
