//! The types that the parts of dbt-api exchange and store: identifiers, the events of the journal, and dbt's artifacts. This crate does no
//! I/O.

mod artifacts;
mod event;
mod ids;
mod run_status;

pub use artifacts::*;
pub use event::*;
pub use ids::*;
pub use run_status::RunStatus;
