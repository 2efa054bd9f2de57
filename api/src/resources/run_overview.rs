//! What happened in a run.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::overview::{as_time, as_time_or_null};

/// What happened in a run.
#[derive(Serialize, ToSchema)]
pub struct RunOverview {
    /// The number of the run.
    pub run_id: i64,
    /// The number of its job.
    pub job_id: i64,
    /// Airflow's id of the DAG; null for uploads whose DAG is not known.
    pub dag_id: Option<String>,
    /// Airflow's id of the DAG run, if it is known.
    pub airflow_run_id: Option<String>,
    /// The number of its environment.
    pub environment_id: i64,
    /// 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    pub status: i16,
    /// The version of dbt in its last step that names one.
    pub dbt_version: Option<String>,
    /// When it started, or became known.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The run of the same job before it, of those that ended.
    pub previous_run_id: Option<i64>,
    /// The dbt commands, in order.
    pub steps: Vec<StepFacts>,
    /// The number of results that were read of the run's files.
    pub results_total: usize,
    /// Whether all results of this run were read. At most 100,000 are, and those of the run before only if there is room for all of them.
    pub is_whole: bool,
    /// How many nodes ended with each status, by resource type.
    pub counts: Vec<StatusCount>,
    /// The number of nodes whose last attempt in the run failed.
    pub failures_total: usize,
    /// These nodes in the order in which they failed: 10 from the offset that was asked for.
    pub failures: Vec<RunFailure>,
    /// What was skipped, by the failure that it was skipped because of.
    pub skipped: Vec<SkippedBecause>,
    /// The nodes by thread: the 300 that took longest, and those of the critical path.
    pub timeline: Timeline,
    /// The chain of nodes that decided when the longest step ended: each waited for the one before it. Tests are not part of it.
    pub critical_path: Vec<PathNode>,
    /// What differs from the run before. Null if there is none, one of the two has no results, or not all results of both were read.
    pub comparison: Option<RunComparison>,
    /// The files of run results that it is about.
    pub files: Vec<RunFileFacts>,
}

/// A dbt command of a run.
#[derive(Serialize, ToSchema)]
pub struct StepFacts {
    /// The number of the step.
    pub step_id: i64,
    /// The position in the run, from 1.
    pub index: i64,
    /// The command as it was typed, if it is known.
    pub command: Option<String>,
    /// dbt's id of the invocation.
    pub invocation_id: Option<String>,
    /// 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    pub status: i16,
    /// When it started.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The number of nodes that it worked on.
    pub nodes: usize,
    /// The number of those that failed.
    pub failed: usize,
}

/// How many nodes ended with a status.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusCount {
    /// Such as `model`.
    pub resource_type: String,
    /// dbt's word in lower case.
    pub status: String,
    /// The number of nodes.
    pub nodes: usize,
}

/// A node that failed.
#[derive(Serialize, ToSchema)]
pub struct RunFailure {
    /// dbt's id of the node.
    pub unique_id: String,
    /// dbt's word in lower case.
    pub status: String,
    /// The position of the step in the run, from 1.
    pub step: i64,
    /// When it failed.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub execution_time: f64,
    /// dbt's message.
    pub message: Option<String>,
    /// For a test: how many rows failed.
    pub failures: Option<i64>,
    /// When it last succeeded before; null if it never did.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success_at: Option<DateTime<Utc>>,
    /// The run of that success.
    pub last_success_run_id: Option<i64>,
    /// The code that the warehouse ran, as far as a manifest of the run has it.
    pub compiled_code: Option<String>,
}

/// What was skipped because of a failure.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SkippedBecause {
    /// The node that failed; null if none was found. It is looked for above all models, seeds and snapshots, and at most 2,000 other nodes.
    pub unique_id: Option<String>,
    /// The number of nodes that were skipped.
    pub nodes: usize,
    /// The first 50 of them, by id.
    pub unique_ids: Vec<String>,
}

/// When nodes ran, and in which thread.
#[derive(Default, Serialize, ToSchema)]
pub struct Timeline {
    /// The nodes, by thread and time.
    pub nodes: Vec<TimelineNode>,
    /// The number of nodes that are left out, since they took less time.
    pub left_out: usize,
    /// How long those took together, in seconds.
    pub left_out_seconds: f64,
}

/// When a node ran, and in which thread.
#[derive(Serialize, ToSchema)]
pub struct TimelineNode {
    /// dbt's id of the node.
    pub unique_id: String,
    /// dbt's word in lower case.
    pub status: String,
    /// The position of the step in the run, from 1.
    pub step: i64,
    /// The number of the thread among those of its step, from 1.
    pub thread: usize,
    /// When it started.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DateTime<Utc>,
    /// How long it took, in seconds.
    pub execution_time: f64,
    /// Whether it is part of the critical path.
    pub is_critical: bool,
}

/// A node of the critical path.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct PathNode {
    /// dbt's id of the node.
    pub unique_id: String,
    /// dbt's word in lower case.
    pub status: String,
    /// How long it took, in seconds.
    pub execution_time: f64,
    /// How long it waited after the node before it had ended, for a thread or for tests, in seconds.
    pub waited: f64,
}

/// What differs between a run and the one before.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct RunComparison {
    /// The run before.
    pub run_id: i64,
    /// How many nodes have another status.
    pub status_changed_total: usize,
    /// The first 20 of them, failures first.
    pub status_changed: Vec<StatusChange>,
    /// How many nodes only this run worked on.
    pub added_total: usize,
    /// The first 20 of them, by id.
    pub added: Vec<String>,
    /// How many nodes only the run before worked on.
    pub removed_total: usize,
    /// The first 20 of them, by id.
    pub removed: Vec<String>,
    /// How many nodes took longer, by more than a second and a fifth.
    pub slower_total: usize,
    /// The 10 with the largest difference.
    pub slower: Vec<TimeChange>,
    /// How many nodes took less time, by more than a second and a fifth.
    pub faster_total: usize,
    /// The 10 with the largest difference.
    pub faster: Vec<TimeChange>,
}

/// A node with another status than before.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusChange {
    /// dbt's id of the node.
    pub unique_id: String,
    /// Its status in the run before.
    pub before: String,
    /// Its status now.
    pub now: String,
}

/// A node that took another time than before.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct TimeChange {
    /// dbt's id of the node.
    pub unique_id: String,
    /// In seconds, in the run before.
    pub before: f64,
    /// In seconds.
    pub now: f64,
}

/// A file of a run.
#[derive(Serialize, ToSchema)]
pub struct RunFileFacts {
    /// Its name, such as `manifest.json`.
    pub name: String,
    /// The position of its step in the run, from 1.
    pub step: Option<i64>,
    /// The size as uploaded, in bytes.
    pub size: i64,
}
