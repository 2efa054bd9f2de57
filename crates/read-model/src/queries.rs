//! The queries of the API. Each query filters by account, although row-level security would enforce that anyway.

mod artifacts;
mod aspects;
mod deferral;
pub mod discovery;
mod files;
mod graph;
mod jobs;
mod logs;
mod nodes;
mod page;
mod result_table;
mod results;
mod runs;
mod steps;

pub use artifacts::{RunFile, artifact_names, job_file, run_file, step_file};
pub use aspects::{called_macros, catalog_entry, compiled_code, node_set_of_environment, node_set_of_run};
pub use deferral::{ManifestFilter, manifest_to_defer_to};
pub use files::{File, FileKey, FileScope, file, files, is_applied};
pub use graph::{Difference, GraphNode, Neighbour, differences, docs, graph, neighbours};
pub use jobs::{Job, JobFacts, JobFilter, JobOrder, job, job_facts, job_with_facts, jobs, jobs_by_id};
pub use logs::{StepLog, step_logs};
pub use nodes::{NewestManifest, Node, NodeFilter, newest_manifests, node, nodes};
pub use page::{Order, Page, Paging};
pub use result_table::{TableFilter, TablePosition, TableRange, TableRow, result_table};
pub use results::{FreshnessCheck, NodeResult, ResultFilter, RunResult, last_attempts, last_freshness, run_results};
pub use runs::{Run, RunFilter, RunOrder, run, runs, runs_by_id};
pub use steps::{Step, step, steps_of_runs};
