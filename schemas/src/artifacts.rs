//! dbt's artifacts: what an uploaded file is, and what a manifest holds.

mod kind;
mod manifest;
mod node;
mod raw;
mod scan;
mod text;

pub use kind::ArtifactKind;
pub use manifest::{InvalidManifest, Manifest, ManifestMetadata, QuarantinedNode};
pub use node::{Column, Node, NodeContent};
pub use scan::{ScanError, Scanned, Scanner};
pub use text::ManifestText;
