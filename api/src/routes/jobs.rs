//! Jobs: the DAGs of environments.

use std::collections::HashMap;

use edge::{CloudError, Many, One, OrderBy, Paging, Params, many, one};
use read_model::queries::{self, JobFilter, JobOrder, Order};
use schemas::{AccountId, EnvironmentId, JobId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, RECORD_FIELDS, slice};
use crate::view::{Ids, View};

/// A job.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Job {
    id: i64,
    account_id: i64,
    project_id: i64,
    environment_id: i64,
    /// The DAG's id.
    name: String,
    description: String,
    /// 1 active, 2 not.
    state: i16,
    job_type: &'static str,
    execute_steps: [&'static str; 0],
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
    created_at: String,
    updated_at: String,
    #[serde(flatten)]
    unknown: UnknownOfJob,
}

/// What dbt Cloud knows of its own jobs, and nobody of these: always null.
#[derive(Clone, Default, Serialize, ToSchema)]
struct UnknownOfJob {
    dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
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
    #[schema(value_type = Option<Object>)]
    environment: Option<()>,
    #[schema(value_type = Option<Object>)]
    most_recent_run: Option<()>,
    #[schema(value_type = Option<Object>)]
    most_recent_completed_run: Option<()>,
}

/// How long a run may take: there is no limit.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobExecution)]
struct Execution {
    timeout_seconds: i64,
}

/// dbt Cloud's defaults.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobSettings)]
struct Settings {
    threads: i64,
    target_name: &'static str,
}

/// What starts a job. Airflow does, of which dbt Cloud has no notion: so nothing.
#[derive(Clone, Default, Serialize, ToSchema)]
#[schema(as = JobTriggers)]
struct Triggers {
    github_webhook: bool,
    schedule: bool,
    git_provider_webhook: bool,
    on_merge: bool,
    custom_branch_only: bool,
}

/// When a job would start, if `triggers.schedule` were true: dbt Cloud has a schedule in jobs without one too, and clients read it.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobSchedule)]
struct Schedule {
    cron: &'static str,
    date: ScheduleDate,
    time: ScheduleTime,
}

/// On which days.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleDate {
    r#type: &'static str,
    days: Option<Vec<i64>>,
    cron: Option<String>,
}

/// At what times of the day.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleTime {
    r#type: &'static str,
    hours: Option<Vec<i64>>,
    interval: i64,
}

impl Job {
    pub(super) fn new(row: queries::Job) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            project_id: row.project_id,
            environment_id: row.environment_id,
            name: row.dag_id.unwrap_or_else(|| "(unknown DAG)".to_owned()),
            description: String::new(),
            state: 1,
            job_type: "other",
            execute_steps: [],
            cost_optimization_features: [],
            execution: Execution { timeout_seconds: 0 },
            settings: Settings {
                threads: 1,
                target_name: "default",
            },
            triggers: Triggers::default(),
            schedule: Schedule {
                cron: "0 * * * *",
                date: ScheduleDate {
                    r#type: "every_day",
                    days: None,
                    cron: None,
                },
                time: ScheduleTime {
                    r#type: "every_hour",
                    hours: None,
                    interval: 1,
                },
            },
            generate_docs: false,
            generate_sources: false,
            run_generate_sources: false,
            run_compare_changes: false,
            compare_changes_flags: "--select state:modified",
            run_lint: false,
            errors_on_lint_failure: true,
            triggers_on_draft_pr: false,
            is_deferrable: false,
            lifecycle_webhooks: false,
            run_failure_count: 0,
            created_at: iso_time(row.created_at),
            updated_at: iso_time(row.updated_at),
            unknown: UnknownOfJob::default(),
        }
    }
}

/// The jobs with these numbers, by number.
pub(super) async fn by_id(view: &mut View, ids: &[i64]) -> Result<HashMap<i64, Job>, Error> {
    let account = view.account();
    let rows = queries::jobs_by_id(view.connection(), account, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, Job::new(row))).collect())
}

/// Lists the jobs of the account.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs", tag = "Jobs", operation_id = "List Jobs",
    params(
        ("account_id" = i64, Path),
        ("project_id" = Option<i64>, Query, description = "Only jobs of this project"),
        ("environment_id" = Option<i64>, Query, description = "Only jobs of this environment"),
        ("order_by" = Option<String>, Query, description = "`id`, `name`, `created_at` or `updated_at`; `-` in front reverses"),
        ("limit" = Option<i64>, Query, description = "At most 100"),
        ("offset" = Option<i64>, Query, description = "How many to pass over"),
    ),
    responses((status = 200, body = Many<Job>))
)]
pub(crate) async fn list(mut view: View, params: Params) -> Result<Many<Job>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(&params)?, OrderBy::read(&params, RECORD_FIELDS)?);
    let mut filters = Filters::new(&params, account);
    let filter = JobFilter {
        project_id: filters.number("project_id")?.map(ProjectId),
        environment_id: filters.number("environment_id")?.map(EnvironmentId),
    };
    let by = Order {
        field: match order.field {
            "name" => JobOrder::Name,
            "created_at" => JobOrder::CreatedAt,
            "updated_at" => JobOrder::UpdatedAt,
            _ => JobOrder::Id,
        },
        descending: order.descending,
    };
    let page = queries::jobs(view.connection(), account, filter, by, slice(paging)).await?;
    let jobs = page.rows.into_iter().map(Job::new).collect();
    Ok(many(jobs, page.total, paging, &order, filters.applied()))
}

/// Shows a job.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{id}", tag = "Jobs", operation_id = "Retrieve Job",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Job>))
)]
pub(crate) async fn show(mut view: View, Ids((account, id)): Ids<(AccountId, JobId)>) -> Result<One<Job>, Error> {
    let row = queries::job(view.connection(), account, id).await?;
    Ok(one(Job::new(row.ok_or_else(CloudError::not_found)?)))
}
