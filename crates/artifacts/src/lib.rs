#![doc = include_str!("../README.md")]

mod catalog;
mod change;
mod manifest;
mod node;
mod raw;
mod results;
mod scan;
mod text;
mod trim;

pub use catalog::{Catalog, CatalogColumn, CatalogNode};
pub use change::changed_fields;
pub use manifest::{Manifest, ManifestMetadata, QuarantinedNode, start_threads};
pub use node::{Column, DEFINITION_FORMAT, Node, NodeContent};
pub use results::{Failure, NodeResult, Outcome, Results, Span};
pub use scan::{ScanError, Scanned, Scanner};
pub use text::{ArtifactText, InvalidArtifact};
pub use trim::Trimmer;
