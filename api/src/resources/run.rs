//! A run of a DAG, as the lists and the answer about one run show it.

use chrono::{DateTime, Utc};
use read_model::queries;
use schemas::{ArtifactKind, RunStatus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::format::{clock_duration, humanized_age, humanized_duration, spaced_time};

/// A run, without related things.
#[derive(Serialize, ToSchema)]
pub(crate) struct Run {
    pub(crate) id: i64,
    account_id: i64,
    project_id: i64,
    pub(crate) environment_id: i64,
    job_definition_id: i64,
    pub(crate) job_id: i64,
    /// 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    status: i16,
    status_humanized: &'static str,
    in_progress: bool,
    is_complete: bool,
    is_success: bool,
    is_error: bool,
    is_cancelled: bool,
    is_running: bool,
    dbt_version: Option<String>,
    artifacts_saved: bool,
    has_docs_generated: bool,
    has_sources_generated: bool,
    notifications_sent: bool,
    can_retry: bool,
    blocked_by: Vec<i64>,
    #[schema(format = DateTime)]
    created_at: String,
    created_at_humanized: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    finished_at_humanized: Option<String>,
    duration: String,
    duration_humanized: String,
    queued_duration: String,
    queued_duration_humanized: String,
    run_duration: String,
    run_duration_humanized: String,
    /// The run's own id: each run has its own trigger.
    trigger_id: i64,
    /// The URL of the page that shows this run.
    href: String,
}

/// A run in an answer about a job, without related things.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunOfJob {
    #[serde(flatten)]
    pub(crate) run: Run,
    #[schema(value_type = Option<Object>)]
    trigger: Option<()>,
    #[schema(value_type = Option<Object>)]
    job: Option<()>,
    #[schema(value_type = Option<Object>)]
    environment: Option<()>,
    #[schema(value_type = Vec<Object>)]
    run_steps: [(); 0],
    #[serde(flatten)]
    unknown: UnknownOfRun,
}

impl RunOfJob {
    pub(crate) fn new(run: Run) -> Self {
        Self {
            run,
            trigger: None,
            job: None,
            environment: None,
            run_steps: [],
            unknown: UnknownOfRun::default(),
        }
    }
}

/// What only dbt Cloud knows about its runs: always null.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct UnknownOfRun {
    git_branch: Option<String>,
    git_sha: Option<String>,
    status_message: Option<String>,
    owner_thread_id: Option<String>,
    executed_by_thread_id: Option<String>,
    deferring_run_id: Option<i64>,
    artifact_s3_path: Option<String>,
    #[schema(format = DateTime)]
    dequeued_at: Option<String>,
    #[schema(format = DateTime)]
    last_checked_at: Option<String>,
    #[schema(format = DateTime)]
    last_heartbeat_at: Option<String>,
    #[schema(format = DateTime)]
    should_start_at: Option<String>,
    #[schema(value_type = Option<Object>)]
    deprecation: Option<()>,
    retrying_run_id: Option<i64>,
    retry_not_supported_reason: Option<String>,
    used_repo_cache: Option<bool>,
    #[schema(value_type = Option<Object>)]
    audit: Option<()>,
}

/// What started a run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunTrigger)]
pub(crate) struct Trigger {
    id: i64,
    /// Airflow's id of the DAG run, if it is known.
    cause: String,
    job_definition_id: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(flatten)]
    unknown: UnknownOfTrigger,
}

/// What only dbt Cloud knows about its triggers: always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfTrigger {
    cause_category: Option<String>,
    git_branch: Option<String>,
    git_sha: Option<String>,
    azure_pull_request_id: Option<i64>,
    github_pull_request_id: Option<i64>,
    gitlab_merge_request_id: Option<i64>,
    schema_override: Option<String>,
    dbt_version_override: Option<String>,
    threads_override: Option<i64>,
    target_name_override: Option<String>,
    generate_docs_override: Option<bool>,
    timeout_seconds_override: Option<i64>,
    steps_override: Option<Vec<String>>,
}

impl Trigger {
    pub(crate) fn new(row: &queries::runs::Run) -> Self {
        Self {
            id: row.id,
            cause: row
                .airflow_run_id
                .as_ref()
                .map_or_else(|| "dbt".to_owned(), |run| format!("Airflow: {run}")),
            job_definition_id: row.job_id,
            created_at: spaced_time(row.created_at),
            unknown: UnknownOfTrigger::default(),
        }
    }
}

impl Run {
    pub(crate) fn new(row: queries::runs::Run, now: DateTime<Utc>, public_url: &str) -> Self {
        let status = RunStatus::from_number(row.status);
        let has = |kind: ArtifactKind| row.kinds.iter().any(|has| has == kind.as_str());
        // A run that is uploaded after it ran was never queued.
        let asked_for = row
            .started_at
            .map_or(row.created_at, |started| started.min(row.created_at));
        // A run that never started was queued until its end.
        let started = row.started_at.or(row.finished_at).unwrap_or(now).max(asked_for);
        let finished = row.finished_at.unwrap_or(now).max(started);
        Self {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            environment_id: row.environment_id,
            job_definition_id: row.job_id,
            job_id: row.job_id,
            status: row.status,
            status_humanized: status.map_or("Unknown", RunStatus::humanized),
            in_progress: status.is_some_and(|status| !status.is_complete()),
            is_complete: status.is_some_and(RunStatus::is_complete),
            is_success: status == Some(RunStatus::Success),
            is_error: status == Some(RunStatus::Error),
            is_cancelled: status == Some(RunStatus::Cancelled),
            is_running: status == Some(RunStatus::Running),
            dbt_version: row.dbt_version,
            artifacts_saved: !row.kinds.is_empty(),
            has_docs_generated: has(ArtifactKind::Catalog),
            has_sources_generated: has(ArtifactKind::Sources),
            notifications_sent: false,
            can_retry: false,
            blocked_by: Vec::new(),
            created_at: spaced_time(row.created_at),
            created_at_humanized: humanized_age(row.created_at, now),
            updated_at: spaced_time(row.updated_at),
            started_at: row.started_at.map(spaced_time),
            finished_at: row.finished_at.map(spaced_time),
            finished_at_humanized: row.finished_at.map(|time| humanized_age(time, now)),
            duration: clock_duration(finished - asked_for),
            duration_humanized: humanized_duration(finished - asked_for),
            queued_duration: clock_duration(started - asked_for),
            queued_duration_humanized: humanized_duration(started - asked_for),
            run_duration: clock_duration(finished - started),
            run_duration_humanized: humanized_duration(finished - started),
            trigger_id: row.id,
            href: format!("{public_url}/console/{}/runs/{}", row.account_id, row.id),
        }
    }
}
