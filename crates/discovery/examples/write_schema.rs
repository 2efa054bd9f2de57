//! Writes the GraphQL schema to `schemas/discovery.graphql`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/discovery.graphql");
    std::fs::write(file, discovery::sdl())
}
