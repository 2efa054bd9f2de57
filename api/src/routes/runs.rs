//! Runs, which are the runs of DAGs.

use axum::extract;
use chrono::{DateTime, Utc};
use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::{self, Order, RunFilter, RunOrder};
use schemas::{AccountId, ArtifactKind, EnvironmentId, JobId, RunId};
use serde::Serialize;
use utoipa::ToSchema;

use super::environments::{self, Environment};
use super::jobs::{self, Job};
use super::steps::{self, Step};
use crate::State;
use crate::error::Error;
use crate::format::{clock_duration, humanized_age, humanized_duration, spaced_time};
use crate::list::{Filters, includes, slice};
use crate::view::{Ids, View};

/// A run.
#[derive(Serialize, ToSchema)]
pub(crate) struct Run {
    id: i64,
    account_id: i64,
    project_id: i64,
    environment_id: i64,
    job_definition_id: i64,
    job_id: i64,
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
    created_at: String,
    created_at_humanized: String,
    updated_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    finished_at_humanized: Option<String>,
    duration: String,
    duration_humanized: String,
    queued_duration: String,
    queued_duration_humanized: String,
    run_duration: String,
    run_duration_humanized: String,
    /// The id of the run, because each run has its own trigger.
    trigger_id: i64,
    /// The URL of this run.
    href: String,
    /// Present with `include_related=trigger`.
    trigger: Option<Trigger>,
    /// Present with `include_related=job`.
    job: Option<Job>,
    /// Present with `include_related=environment`.
    environment: Option<Environment>,
    /// Present with `include_related=run_steps`.
    run_steps: Vec<Step>,
    #[serde(flatten)]
    unknown: UnknownOfRun,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfRun {
    git_branch: Option<String>,
    git_sha: Option<String>,
    status_message: Option<String>,
    owner_thread_id: Option<String>,
    executed_by_thread_id: Option<String>,
    deferring_run_id: Option<i64>,
    artifact_s3_path: Option<String>,
    dequeued_at: Option<String>,
    last_checked_at: Option<String>,
    last_heartbeat_at: Option<String>,
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
    created_at: String,
    #[serde(flatten)]
    unknown: UnknownOfTrigger,
}

/// Fields of dbt Cloud that this service does not know. Always null.
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
    fn new(row: &queries::Run) -> Self {
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
    pub(super) fn new(row: queries::Run, now: DateTime<Utc>, public_url: &str) -> Self {
        let has = |kind: ArtifactKind| row.kinds.iter().any(|has| has == kind.as_str());
        // A run that was uploaded after it ran was never queued.
        let requested = row
            .started_at
            .map_or(row.created_at, |started| started.min(row.created_at));
        // A run that never started was queued until it ended.
        let started = row.started_at.or(row.finished_at).unwrap_or(now).max(requested);
        let finished = row.finished_at.unwrap_or(now).max(started);
        Self {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            environment_id: row.environment_id,
            job_definition_id: row.job_id,
            job_id: row.job_id,
            status: row.status,
            status_humanized: status_humanized(row.status),
            in_progress: matches!(row.status, 1..=3),
            is_complete: matches!(row.status, 10 | 20 | 30),
            is_success: row.status == 10,
            is_error: row.status == 20,
            is_cancelled: row.status == 30,
            is_running: row.status == 3,
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
            duration: clock_duration(finished - requested),
            duration_humanized: humanized_duration(finished - requested),
            queued_duration: clock_duration(started - requested),
            queued_duration_humanized: humanized_duration(started - requested),
            run_duration: clock_duration(finished - started),
            run_duration_humanized: humanized_duration(finished - started),
            trigger_id: row.id,
            trigger: None,
            href: format!("{public_url}/api/v2/accounts/{}/runs/{}/", row.account_id, row.id),
            job: None,
            environment: None,
            run_steps: Vec::new(),
            unknown: UnknownOfRun::default(),
        }
    }
}

/// dbt Cloud's word for a status of a run or a step.
pub(super) fn status_humanized(status: i16) -> &'static str {
    match status {
        1 => "Queued",
        2 => "Starting",
        3 => "Running",
        10 => "Success",
        20 => "Error",
        30 => "Cancelled",
        _ => "Unknown",
    }
}

/// Lists the runs of the account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs", tag = "Runs", operation_id = "List Runs",
    params(
        ("account_id" = i64, Path),
        ("job_definition_id" = Option<i64>, Query, description = "Only runs of this job"),
        ("environment_id" = Option<i64>, Query, description = "Only runs of this environment"),
        ("project_id" = Option<i64>, Query, description = "Only runs of this project"),
        ("project_id__in" = Option<String>, Query, description = "Only runs of one of these projects, as JSON", example = "[1,2]"),
        ("status" = Option<i64>, Query, description = "Only runs with this status"),
        ("status__in" = Option<String>, Query, description = "Only runs with one of these statuses, as JSON", example = "[10,20]"),
        ("created_at__range" = Option<String>, Query, description = "Only runs created within this time range, as JSON",
            example = json!("[\"2026-01-01T00:00:00Z\",\"2026-02-01T00:00:00Z\"]")),
        ("finished_at__range" = Option<String>, Query, description = "Only runs that finished within this time range, as JSON",
            example = json!("[\"2026-01-01T00:00:00Z\",\"2026-02-01T00:00:00Z\"]")),
        ("dbt_version" = Option<String>, Query, description = "Only runs of this version of dbt"),
        ("dbt_version__in" = Option<String>, Query, description = "Only runs of one of these versions, as JSON"),
        ("has_docs_generated" = Option<bool>, Query, description = "Only runs with a catalog, or with `false` only runs without one"),
        ("has_sources_generated" = Option<bool>, Query, description = "Only runs with source freshness results, or with `false` only runs without them"),
        ("deferring_run_id" = Option<i64>, Query, description = "Returns no runs, because none is known to defer to another"),
        ("pk" = Option<i64>, Query, description = "Only the run with this id"),
        ("pk__in" = Option<String>, Query, description = "Only runs with one of these ids, as JSON", example = "[1,2]"),
        ("id__gt" = Option<i64>, Query, description = "Only runs with a higher id"),
        ("state" = Option<i64>, Query, description = "1 or `all`: all runs; 2 (deleted): none"),
        ("include_related" = Option<String>, Query, description = "`trigger`, `job`, `environment`, `run_steps`, separated by commas"),
        ("order_by" = Option<String>, Query, description = "`id`, `created_at` or `finished_at`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Run>))
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    mut view: View,
    params: Params,
) -> Result<Many<Run>, Error> {
    let account = view.account();
    let paging = Paging::read(&params)?;
    let order = OrderBy::read(&params, &["id", "created_at", "finished_at"])?;
    let mut filters = Filters::new(&params, account);
    let mut filter = RunFilter {
        job_id: filters.number("job_definition_id")?.map(JobId),
        environment_id: filters.number("environment_id")?.map(EnvironmentId),
        project_ids: filters.ids("project_id", "project_id__in")?,
        statuses: filters.ids("status", "status__in")?,
        ids: filters.ids("pk", "pk__in")?,
        id_above: filters.number("id__gt")?.map(RunId),
        dbt_versions: filters.texts("dbt_version__in").or(filters.texts("dbt_version")),
        created: filters.times("created_at__range")?,
        finished: filters.times("finished_at__range")?,
        kinds: Vec::new(),
    };
    for (name, kind) in [
        ("has_docs_generated", ArtifactKind::Catalog),
        ("has_sources_generated", ArtifactKind::Sources),
    ] {
        filter
            .kinds
            .extend(filters.truth(name)?.map(|expected| (kind, expected)));
    }
    let is_deleted = filters.state()?.is_some_and(|state| state != 1);
    if is_deleted || filters.number("deferring_run_id")?.is_some() {
        filter.ids = Some(Vec::new());
    }
    let by = Order {
        field: match order.field {
            "created_at" => RunOrder::CreatedAt,
            "finished_at" => RunOrder::FinishedAt,
            _ => RunOrder::Id,
        },
        descending: order.descending,
    };
    let page = queries::runs(view.connection(), account, &filter, by, slice(paging)).await?;
    let runs = answers(&state, &mut view, &params, page.rows).await?;
    Ok(many(runs, page.total, paging, &order, filters.applied()))
}

/// Shows a run.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{id}", tag = "Runs", operation_id = "Retrieve Run",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path),
        ("include_related" = Option<String>, Query, description = "`trigger`, `job`, `environment`, `run_steps`, separated by commas"),
    ),
    responses((status = 200, body = One<Run>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, id)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<One<Run>, Error> {
    let row = queries::run(view.connection(), account, id).await?;
    let mut runs = answers(&state, &mut view, &params, row.into_iter().collect()).await?;
    Ok(one(runs.pop().ok_or_else(CloudError::not_found)?))
}

/// Adds the objects that `include_related` lists, each fetched for all runs at once.
async fn answers(state: &State, view: &mut View, params: &Params, rows: Vec<queries::Run>) -> Result<Vec<Run>, Error> {
    let now = state.clock.now();
    let has_trigger = includes(params, "trigger");
    let answer = |row: queries::Run| {
        let trigger = has_trigger.then(|| Trigger::new(&row));
        Run {
            trigger,
            ..Run::new(row, now, &state.public_url)
        }
    };
    let mut runs: Vec<Run> = rows.into_iter().map(answer).collect();
    if includes(params, "job") {
        let ids: Vec<i64> = runs.iter().map(|run| run.job_id).collect();
        let jobs = jobs::by_id(view, &ids).await?;
        for run in &mut runs {
            run.job = jobs.get(&run.job_id).cloned();
        }
    }
    if includes(params, "environment") {
        let ids: Vec<i64> = runs.iter().map(|run| run.environment_id).collect();
        let environments = environments::by_id(view, &ids).await?;
        for run in &mut runs {
            run.environment = environments.get(&run.environment_id).cloned();
        }
    }
    if includes(params, "run_steps") {
        let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
        let mut steps = steps::by_run(view, &ids).await?;
        for run in &mut runs {
            run.run_steps = steps.remove(&run.id).unwrap_or_default();
        }
    }
    Ok(runs)
}
