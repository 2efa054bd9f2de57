//! Jobs, which are the DAGs of environments.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract;
use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::{self, JobFacts, JobFilter, JobOrder, Order};
use schemas::{AccountId, ArtifactKind, EnvironmentId, JobId};
use serde::Serialize;
use utoipa::ToSchema;

use super::environments::{self, Environment};
use super::runs::Run;
use crate::State;
use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, RECORD_FIELDS, includes, slice};
use crate::view::{Ids, View};

/// dbt Cloud's default schedule.
const CRON: &str = "0 * * * *";
const DAYS: &str = "every_day";
const TIMES: &str = "every_hour";

/// A job.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Job {
    id: i64,
    account_id: i64,
    project_id: i64,
    environment_id: i64,
    /// The id of the DAG.
    name: String,
    description: String,
    /// 1 is active, 2 is not.
    state: i16,
    job_type: &'static str,
    /// The dbt commands of the job's last run.
    execute_steps: Vec<String>,
    cost_optimization_features: [&'static str; 0],
    execution: Execution,
    settings: Settings,
    triggers: Triggers,
    schedule: Schedule,
    generate_docs: bool,
    generate_sources: bool,
    run_generate_sources: bool,
    run_compare_changes: bool,
    compare_changes_flags: &'static str,
    run_lint: bool,
    errors_on_lint_failure: bool,
    triggers_on_draft_pr: bool,
    is_deferrable: bool,
    lifecycle_webhooks: bool,
    run_failure_count: i64,
    /// The version of dbt in the job's last run.
    dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
    created_at: String,
    updated_at: String,
    /// Present with `include_related=environment`.
    environment: Option<Environment>,
    /// Present with `include_related=most_recent_run`.
    #[schema(value_type = Option<Object>)]
    most_recent_run: Option<Arc<Run>>,
    /// Present with `include_related=most_recent_completed_run`.
    #[schema(value_type = Option<Object>)]
    most_recent_completed_run: Option<Arc<Run>>,
    #[serde(flatten)]
    unknown: UnknownOfJob,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Clone, Default, Serialize, ToSchema)]
struct UnknownOfJob {
    deferring_environment_id: Option<i64>,
    deferring_job_definition_id: Option<i64>,
    lifecycle_webhooks_url: Option<String>,
    #[schema(value_type = Option<Object>)]
    job_completion_trigger_condition: Option<()>,
    #[schema(value_type = Option<Object>)]
    fusion_readiness: Option<()>,
    #[schema(value_type = Option<Object>)]
    account: Option<()>,
    #[schema(value_type = Option<Object>)]
    project: Option<()>,
}

/// The time limit of runs. It is always 0: there is none.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobExecution)]
struct Execution {
    timeout_seconds: i64,
}

/// dbt Cloud's default settings.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobSettings)]
struct Settings {
    threads: i64,
    target_name: &'static str,
}

/// What starts a job: Airflow, on its schedule or on request.
#[derive(Clone, Default, Serialize, ToSchema)]
#[schema(as = JobTriggers)]
struct Triggers {
    github_webhook: bool,
    schedule: bool,
    git_provider_webhook: bool,
    on_merge: bool,
    custom_branch_only: bool,
}

/// When a job starts, if `triggers.schedule` is true. Otherwise dbt Cloud's default, because dbt Cloud gives jobs without a schedule one
/// too, and clients read it.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobSchedule)]
#[serde(untagged)]
enum Schedule {
    Whole {
        cron: String,
        date: ScheduleDate,
        time: ScheduleTime,
    },
    /// The form in which dbt Cloud embeds it in the job of a run.
    Short {
        cron: String,
        date: &'static str,
        time: &'static str,
    },
}

impl Schedule {
    fn whole(cron: Option<String>) -> Self {
        Self::Whole {
            date: ScheduleDate {
                r#type: date_type(cron.as_ref()),
                days: None,
                cron: cron.clone(),
            },
            cron: cron.unwrap_or_else(|| CRON.to_owned()),
            time: ScheduleTime {
                r#type: TIMES,
                hours: None,
                interval: 1,
            },
        }
    }

    fn short(cron: Option<String>) -> Self {
        Self::Short {
            date: date_type(cron.as_ref()),
            cron: cron.unwrap_or_else(|| CRON.to_owned()),
            time: TIMES,
        }
    }
}

fn date_type(cron: Option<&String>) -> &'static str {
    if cron.is_some() { "custom_cron" } else { DAYS }
}

/// The days on which a job starts.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleDate {
    r#type: &'static str,
    days: Option<Vec<i64>>,
    cron: Option<String>,
}

/// The times of day at which a job starts.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleTime {
    r#type: &'static str,
    hours: Option<Vec<i64>>,
    interval: i64,
}

impl Job {
    fn new(row: queries::Job, facts: JobFacts, short: bool) -> Self {
        let cron = row.cron;
        let has = |kind: ArtifactKind| facts.kinds.iter().any(|has| has == kind.as_str());
        let (generate_docs, generate_sources) = (has(ArtifactKind::Catalog), has(ArtifactKind::Sources));
        Self {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            environment_id: row.environment_id,
            name: row.dag_id.unwrap_or_else(|| "(unknown DAG)".to_owned()),
            description: String::new(),
            state: 1,
            job_type: "other",
            execute_steps: facts.commands,
            cost_optimization_features: [],
            execution: Execution { timeout_seconds: 0 },
            settings: Settings {
                threads: 1,
                target_name: "default",
            },
            triggers: Triggers {
                schedule: cron.is_some(),
                ..Triggers::default()
            },
            schedule: if short {
                Schedule::short(cron)
            } else {
                Schedule::whole(cron)
            },
            generate_docs,
            generate_sources,
            run_generate_sources: generate_sources,
            run_compare_changes: false,
            compare_changes_flags: "--select state:modified",
            run_lint: false,
            errors_on_lint_failure: true,
            triggers_on_draft_pr: false,
            is_deferrable: false,
            lifecycle_webhooks: false,
            run_failure_count: 0,
            raw_dbt_version: facts.dbt_version.clone(),
            dbt_version: facts.dbt_version,
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            environment: None,
            most_recent_run: None,
            most_recent_completed_run: None,
            unknown: UnknownOfJob::default(),
        }
    }
}

/// Returns the jobs with these ids, by id.
pub(super) async fn by_id(view: &mut View, ids: &[i64]) -> Result<HashMap<i64, Job>, Error> {
    let account = view.account();
    let rows = queries::jobs_by_id(view.connection(), account, ids).await?;
    let mut facts = facts_of(view, &rows).await?;
    let answer = |row: queries::Job| {
        let id = row.id;
        (id, Job::new(row, facts.remove(&id).unwrap_or_default(), true))
    };
    Ok(rows.into_iter().map(answer).collect())
}

async fn facts_of(view: &mut View, rows: &[queries::Job]) -> Result<HashMap<i64, JobFacts>, Error> {
    let account = view.account();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let facts = queries::job_facts(view.connection(), account, &ids).await?;
    Ok(facts.into_iter().map(|facts| (facts.job_id, facts)).collect())
}

/// Adds the objects that `include_related` lists, each fetched for all jobs at once.
async fn answers(state: &State, view: &mut View, params: &Params, rows: Vec<queries::Job>) -> Result<Vec<Job>, Error> {
    let account = view.account();
    let mut facts = facts_of(view, &rows).await?;
    let newest = includes(params, "most_recent_run");
    let completed = includes(params, "most_recent_completed_run");
    let wanted: Vec<i64> = facts
        .values()
        .flat_map(|facts| {
            [
                facts.newest_run.filter(|_| newest),
                facts.last_run.filter(|_| completed),
            ]
        })
        .flatten()
        .collect();
    let mut runs: HashMap<i64, Arc<Run>> = HashMap::new();
    if !wanted.is_empty() {
        let now = state.clock.now();
        for row in queries::runs_by_id(view.connection(), account, &wanted).await? {
            runs.insert(row.id, Arc::new(Run::new(row, now, &state.public_url)));
        }
    }
    let mut environments = HashMap::new();
    if includes(params, "environment") {
        let ids: Vec<i64> = rows.iter().map(|row| row.environment_id).collect();
        environments = environments::by_id(view, &ids).await?;
    }
    let answer = |row: queries::Job| {
        let facts = facts.remove(&row.id).unwrap_or_default();
        let run = |id: Option<i64>, wanted: bool| runs.get(&id?).filter(|_| wanted).cloned();
        Job {
            environment: environments.get(&row.environment_id).cloned(),
            most_recent_run: run(facts.newest_run, newest),
            most_recent_completed_run: run(facts.last_run, completed),
            ..Job::new(row, facts, false)
        }
    };
    Ok(rows.into_iter().map(answer).collect())
}

/// Lists the jobs of the account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs", tag = "Jobs", operation_id = "List Jobs",
    params(
        ("account_id" = i64, Path),
        ("project_id" = Option<i64>, Query, description = "Only jobs of this project"),
        ("project_id__in" = Option<String>, Query, description = "Only jobs of one of these projects, as JSON", example = "[1,2]"),
        ("environment_id" = Option<i64>, Query, description = "Only jobs of this environment"),
        ("name__icontains" = Option<String>, Query, description = "Only jobs whose name contains this, ignoring case"),
        ("pk" = Option<i64>, Query, description = "Only the job with this id"),
        ("is_system" = Option<bool>, Query, description = "`true` returns no jobs, because none is dbt Cloud's own"),
        ("triggers_schedule" = Option<bool>, Query, description = "Only jobs with an Airflow schedule, or with `false` only jobs without one"),
        ("state" = Option<i64>, Query, description = "1 or `all`: all jobs; 2 (deleted): none"),
        ("include_related" = Option<String>, Query,
            description = "`environment`, `most_recent_run`, `most_recent_completed_run`, separated by commas"),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Job>))
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    mut view: View,
    params: Params,
) -> Result<Many<Job>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(&params)?, OrderBy::read(&params, RECORD_FIELDS)?);
    let mut filters = Filters::new(&params, account);
    let mut filter = JobFilter {
        project_ids: filters.ids("project_id", "project_id__in")?,
        environment_id: filters.number("environment_id")?.map(EnvironmentId),
        ids: filters.number("pk")?.map(|id| vec![id]),
        name_contains: filters.text("name__icontains"),
        has_schedule: filters.truth("triggers_schedule")?,
    };
    let is_deleted = filters.state()?.is_some_and(|state| state != 1);
    if is_deleted || filters.truth("is_system")? == Some(true) {
        filter.ids = Some(Vec::new());
    }
    let by = Order {
        field: match order.field {
            "name" => JobOrder::Name,
            "created_at" => JobOrder::CreatedAt,
            "updated_at" => JobOrder::UpdatedAt,
            _ => JobOrder::Id,
        },
        descending: order.descending,
    };
    let page = queries::jobs(view.connection(), account, &filter, by, slice(paging)).await?;
    let jobs = answers(&state, &mut view, &params, page.rows).await?;
    Ok(many(jobs, page.total, paging, &order, filters.applied()))
}

/// Shows a job.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{id}", tag = "Jobs", operation_id = "Retrieve Job",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path),
        ("include_related" = Option<String>, Query,
            description = "`environment`, `most_recent_run`, `most_recent_completed_run`, separated by commas"),
    ),
    responses((status = 200, body = One<Job>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, id)): Ids<(AccountId, JobId)>,
    params: Params,
) -> Result<One<Job>, Error> {
    let row = queries::job(view.connection(), account, id).await?;
    let mut jobs = answers(&state, &mut view, &params, row.into_iter().collect()).await?;
    Ok(one(jobs.pop().ok_or_else(CloudError::not_found)?))
}
