//! Writes the GraphQL schemas to `schemas/`.

use std::path::Path;

use discovery::Api;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    std::fs::write(folder.join("discovery.graphql"), Api::Discovery.sdl())?;
    std::fs::write(folder.join("semantic.graphql"), Api::SemanticLayer.sdl())
}
