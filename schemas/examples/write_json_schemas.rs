//! Writes the JSON Schemas of the events to `schemas/json/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in schemas::json_schema_files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
