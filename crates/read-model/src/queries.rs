//! What the API reads. Each query names its account, although row-level security would hold it to that.

mod artifacts;
mod files;
mod graph;
mod jobs;
mod nodes;
mod page;
mod results;
mod runs;
mod steps;

pub use artifacts::{ManifestFilter, RunFile, artifact_names, job_file, newest_manifest_where, run_file};
pub use files::{File, FileKey, FilePlace, file, files, is_applied};
pub use graph::{Difference, GraphNode, differences, docs, graph, node_set_of_run};
pub use jobs::{Job, JobFacts, JobFilter, JobOrder, job, job_facts, jobs, jobs_by_id};
pub use nodes::{NewestManifest, Node, NodeFilter, newest_manifests, nodes};
pub use page::{Order, Page, Slice};
pub use results::{NodeResult, catalog_entry, compiled_code, last_results};
pub use runs::{Run, RunFilter, RunOrder, run, runs, runs_by_id};
pub use steps::{Step, step, steps_of_runs};
