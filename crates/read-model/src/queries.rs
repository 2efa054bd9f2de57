//! The queries of the API. Each query filters by account, although row-level security would enforce that anyway.

pub mod artifacts;
pub mod aspects;
pub mod attention;
pub mod attention_counts;
pub mod deferral;
pub mod discovery;
pub mod files;
pub mod graph;
pub mod history;
pub mod jobs;
pub mod logs;
pub mod nodes;
pub mod overview;
pub mod page;
pub mod result_table;
pub mod results;
pub mod run_overview;
pub mod runs;
pub mod steps;
