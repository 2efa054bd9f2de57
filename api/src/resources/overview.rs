//! What an account and its environments look like now.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::format::iso_time;

/// The environments of an account.
#[derive(Serialize, ToSchema)]
pub struct AccountOverview {
    /// The number of the account.
    pub account_id: i64,
    /// The display name.
    pub name: String,
    /// The active environments that the token sees.
    pub environments: Vec<EnvironmentFacts>,
}

/// The state of an environment, in short.
#[derive(Serialize, ToSchema)]
pub struct EnvironmentFacts {
    /// The number of the environment.
    pub environment_id: i64,
    /// The display name.
    pub name: String,
    /// The display name of its project.
    pub project_name: Option<String>,
    /// `production`, `staging` or `development`.
    pub environment_type: String,
    /// The number of jobs.
    pub jobs: i64,
    /// The number of jobs whose last run failed, of those that ended.
    pub failed_jobs: i64,
    /// The number of nodes whose last attempt failed.
    pub failing_nodes: usize,
    /// The number of sources and models whose newest freshness check did not pass.
    pub stale_nodes: usize,
    /// When the last run ended.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_finished_at: Option<DateTime<Utc>>,
    /// When it last received an upload, and whether it should have received another one since.
    pub uploads: Option<Uploads>,
}

/// When an environment last received an upload.
#[derive(Clone, Serialize, ToSchema)]
pub struct Uploads {
    /// When the last upload was accepted.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub last_upload_at: DateTime<Utc>,
    /// Whether the next upload should have come long ago.
    pub is_silent: bool,
    /// If the environment is silent: after how many hours the next upload usually came, at the latest.
    pub usual_hours: Option<i64>,
}

/// The state of an environment.
#[derive(Serialize, ToSchema)]
pub struct EnvironmentOverview {
    /// The number of the environment.
    pub environment_id: i64,
    /// The display name.
    pub name: String,
    /// `production`, `staging` or `development`.
    pub environment_type: String,
    /// When it last received an upload.
    pub uploads: Option<Uploads>,
    /// The number of jobs, of which the list has at most 200.
    pub jobs_total: i64,
    /// The jobs with their newest runs. Those whose last run failed come first, then those that ran last.
    pub jobs: Vec<JobStrip>,
    /// The number of failing nodes, of which the list has at most 100.
    pub failing_total: i64,
    /// The nodes whose last attempt failed, those that began to fail last first. Skipped attempts do not count.
    pub failing: Vec<Failing>,
    /// The number of stale nodes, of which the list has at most 100.
    pub stale_total: i64,
    /// The sources and models whose newest freshness check did not pass, the newest check first.
    pub stale: Vec<Stale>,
    /// What differs between the newest manifest and the newest one that is older than a day. Null if there are no two such manifests.
    pub changes: Option<Changes>,
}

/// A job with its newest runs.
#[derive(Serialize, ToSchema)]
pub struct JobStrip {
    /// The number of the job.
    pub job_id: i64,
    /// Airflow's id of the DAG; null for uploads whose DAG is not known.
    pub dag_id: Option<String>,
    /// The schedule on which Airflow starts the job, in cron syntax.
    pub cron: Option<String>,
    /// At most 30 runs, the newest last.
    pub runs: Vec<StripRun>,
}

/// A run in the strip of its job.
#[derive(Serialize, ToSchema)]
#[schema(as = StripRun)]
pub struct StripRun {
    /// The number of the run.
    pub run_id: i64,
    /// 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    pub status: i16,
    /// When it started, or became known.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DateTime<Utc>,
    /// How long it took until its end or until now, in seconds.
    pub duration: f64,
}

/// A node whose last attempt failed.
#[derive(Serialize, ToSchema)]
#[schema(as = FailingNode)]
pub struct Failing {
    /// dbt's id of the node.
    pub unique_id: String,
    /// dbt's word in lower case.
    pub status: String,
    /// When its last attempt ended.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: DateTime<Utc>,
    /// The run of its last attempt.
    pub run_id: Option<i64>,
    /// When its first failed attempt after the last success ended.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub failing_since_at: DateTime<Utc>,
    /// The run of that attempt.
    pub since_run_id: Option<i64>,
    /// When its last success ended; null if there never was one.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success_at: Option<DateTime<Utc>>,
    /// dbt's message.
    pub message: Option<String>,
    /// For a test: how many rows failed.
    pub failures: Option<i64>,
}

/// A source or model that is not fresh.
#[derive(Serialize, ToSchema)]
#[schema(as = StaleNode)]
pub struct Stale {
    /// dbt's id of the source or model.
    pub unique_id: String,
    /// `warn`, `error` or `runtime error`.
    pub status: String,
    /// When it was checked.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: DateTime<Utc>,
    /// The run of the check.
    pub run_id: Option<i64>,
    /// When its newest row was loaded.
    #[serde(serialize_with = "as_time_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub max_loaded_at: Option<DateTime<Utc>>,
    /// How old it may be: `warn_after` and `error_after`.
    #[schema(value_type = Option<Object>)]
    pub criteria: Option<Box<RawValue>>,
    /// dbt's message.
    pub message: Option<String>,
}

/// What differs between two manifests.
#[derive(Serialize, ToSchema)]
pub struct Changes {
    /// The run with the old manifest.
    pub from_run_id: i64,
    /// When dbt wrote the old manifest.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub from_generated_at: DateTime<Utc>,
    /// The run with the new manifest.
    pub to_run_id: i64,
    /// When dbt wrote the new manifest.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub to_generated_at: DateTime<Utc>,
    /// The number of nodes that only the new manifest has.
    pub added: usize,
    /// The number of nodes that only the old manifest has.
    pub removed: usize,
    /// The number of nodes whose definitions differ.
    pub changed: usize,
}

pub(crate) fn as_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso_time(*time))
}

pub(crate) fn as_time_or_null<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_time(time, serializer),
        None => serializer.serialize_none(),
    }
}
