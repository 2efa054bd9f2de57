//! Jobs: the DAGs of environments.

use read_model::queries;
use read_model::queries::jobs::JobFacts;
use schemas::{ArtifactKind, RecordState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::format::iso_time;

/// dbt Cloud's default schedule.
const CRON: &str = "0 * * * *";
const DAYS: &str = "every_day";
const TIMES: &str = "every_hour";

/// A job, without related things.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Job {
    pub(crate) id: i64,
    account_id: i64,
    project_id: i64,
    pub(crate) environment_id: i64,
    /// The DAG's id.
    name: String,
    description: String,
    /// 1 active, 2 deleted.
    state: i16,
    job_type: &'static str,
    /// The dbt commands of its last run, without `dbt source freshness`.
    execute_steps: Vec<String>,
    cost_optimization_features: [&'static str; 0],
    execution: Execution,
    settings: Settings,
    triggers: Triggers,
    schedule: Schedule,
    generate_docs: bool,
    generate_sources: bool,
    /// Whether its last run checked the freshness of sources.
    run_generate_sources: bool,
    run_compare_changes: bool,
    compare_changes_flags: &'static str,
    run_lint: bool,
    errors_on_lint_failure: bool,
    triggers_on_draft_pr: bool,
    is_deferrable: bool,
    lifecycle_webhooks: bool,
    run_failure_count: i64,
    /// The version of dbt in its last run.
    dbt_version: Option<String>,
    raw_dbt_version: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A job in an answer about a run, without related things.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct JobOfRun {
    #[serde(flatten)]
    job: Job,
    #[schema(value_type = Option<Object>)]
    environment: Option<()>,
    #[schema(value_type = Option<Object>)]
    most_recent_run: Option<()>,
    #[schema(value_type = Option<Object>)]
    most_recent_completed_run: Option<()>,
    #[serde(flatten)]
    unknown: UnknownOfJob,
}

impl JobOfRun {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            environment: None,
            most_recent_run: None,
            most_recent_completed_run: None,
            unknown: UnknownOfJob::default(),
        }
    }
}

/// What only dbt Cloud knows about its jobs: always null.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(crate) struct UnknownOfJob {
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

/// The maximum duration of a run: always 0, which means no limit.
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

/// What starts a job: Airflow, on a schedule or by hand.
#[derive(Clone, Default, Serialize, ToSchema)]
#[schema(as = JobTriggers)]
struct Triggers {
    github_webhook: bool,
    schedule: bool,
    git_provider_webhook: bool,
    on_merge: bool,
    custom_branch_only: bool,
}

/// When a job starts, if `triggers.schedule` is true. Otherwise dbt Cloud's default, since it writes a schedule into every job and clients
/// read it.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = JobSchedule)]
#[serde(untagged)]
enum Schedule {
    Whole {
        cron: String,
        date: ScheduleDate,
        time: ScheduleTime,
    },
    /// As dbt Cloud writes it in the job of a run.
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
                cron: cron.clone(),
            },
            cron: cron.unwrap_or_else(|| CRON.to_owned()),
            time: ScheduleTime {
                r#type: TIMES,
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

/// The days on which the job runs. Fields that do not belong to the type are left out, as in dbt Cloud.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleDate {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
}

/// The times of the day at which the job runs.
#[derive(Clone, Serialize, ToSchema)]
struct ScheduleTime {
    r#type: &'static str,
    interval: i64,
}

impl Job {
    /// A job; `short` as dbt Cloud writes the job of a run.
    pub(crate) fn new(row: queries::jobs::Job, facts: JobFacts, short: bool) -> Self {
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
            state: RecordState::Active.number(),
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
            run_generate_sources: generate_sources || facts.checks_freshness,
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
        }
    }
}
