//! The queries of the Discovery API. Each reads what it needs for any number of nodes in one statement.

mod catalog;
mod code;
mod freshness;
mod head;
mod history;
mod index;
mod macros;
mod performance;
mod results;
mod statuses;

pub use catalog::{CatalogEntry, catalog_entries, catalog_entries_of_run};
pub use code::{compiled_codes, compiled_codes_of_run};
pub use freshness::{Freshness, freshness};
pub use head::{Head, NodeSet, head_of_environment, head_of_run, last_update, newest_run_with_manifest};
pub use history::{attempts_of_node, results_in_runs};
pub use index::{IndexedNode, index};
pub use macros::macros_of_nodes;
pub use performance::{Execution, executions};
pub use results::{Outcome, outcomes, outcomes_of_run};
pub use statuses::{LastStatus, failing_tests, last_statuses};
