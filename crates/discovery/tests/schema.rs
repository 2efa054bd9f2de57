//! The committed schemas.
#![allow(clippy::unwrap_used, reason = "a failure to set up a test fails the test")]

use std::path::Path;

use discovery::Api;

#[test]
fn the_committed_schemas_are_those_that_are_served() {
    for (name, api) in [("discovery", Api::Discovery), ("semantic", Api::SemanticLayer)] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/{name}.graphql"));
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            committed == api.sdl(),
            "schemas/{name}.graphql differs from the schema that is served: run ./dev schemas"
        );
    }
}
