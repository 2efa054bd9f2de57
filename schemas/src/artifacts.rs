//! dbt's artifacts: how uploaded files are recognized and read.

mod catalog;
mod change;
mod kind;
mod manifest;
mod node;
mod raw;
mod results;
mod scan;
mod text;
mod trim;

pub use catalog::{Catalog, CatalogColumn, CatalogNode};
pub use change::changed_fields;
pub use kind::ArtifactKind;
pub use manifest::{Manifest, ManifestMetadata, QuarantinedNode};
pub use node::{Column, DEFINITION_FORMAT, Node, NodeContent};
pub use results::{Failure, NodeResult, Outcome, Results, Span};
pub use scan::{ScanError, Scanned, Scanner};
pub use text::{ArtifactText, InvalidArtifact};
pub use trim::Trimmer;
