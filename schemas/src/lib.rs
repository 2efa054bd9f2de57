//! The types that the parts of dbt-api exchange and store: identifiers and the events of the journal. This crate does no I/O.

mod artifact_kind;
mod event;
mod ids;
mod run_status;

pub use artifact_kind::ArtifactKind;
pub use event::*;
pub use ids::*;
pub use run_status::RunStatus;
