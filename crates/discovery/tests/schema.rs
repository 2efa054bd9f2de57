//! The committed schema.
#![allow(clippy::unwrap_used, reason = "a failure to set up a test fails the test")]

use std::path::Path;

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/discovery.graphql");
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == discovery::sdl(),
        "schemas/discovery.graphql differs from the schema that is served: run ./dev schemas"
    );
}
