//! Steps: the dbt invocations of a run.

use std::sync::Arc;

use read_model::queries;
use schemas::RunStatus;
use serde::Serialize;
use utoipa::ToSchema;

use crate::format::{clock_duration, humanized_duration, spaced_time};

/// The log of a step as it is shown.
pub(crate) struct Log {
    /// The last lines.
    pub(crate) end: Arc<str>,
    /// The whole log if the client asked for it, or else the last lines.
    pub(crate) debug: Arc<str>,
}

/// A step of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunStep)]
pub(crate) struct Step {
    id: i64,
    run_id: i64,
    account_id: i64,
    /// Its number in the run, from 1, which `?step=` of artifacts means.
    index: i64,
    /// 1 queued, 2 starting, 3 running, 10 success, 20 error, 30 cancelled.
    status: i16,
    status_humanized: &'static str,
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    duration: String,
    duration_humanized: String,
    /// In the answers about one run and one step, the last 1,000 lines, or 100 KiB, of the `dbt.log` among the step's files. The other two
    /// logs are the same, unless `debug_logs` is included.
    #[schema(value_type = Option<String>)]
    logs: Option<Arc<str>>,
    /// With `include_related=debug_logs`, the whole log, or the last 2 MiB.
    #[schema(value_type = Option<String>)]
    debug_logs: Option<Arc<str>>,
    #[schema(value_type = Option<String>)]
    truncated_debug_logs: Option<Arc<str>>,
    #[serde(flatten)]
    unknown: UnknownOfStep,
}

/// What only dbt Cloud knows about its steps: always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfStep {
    log_path: Option<String>,
    debug_log_path: Option<String>,
    status_color: Option<String>,
    #[schema(value_type = Option<Object>)]
    run_step_command: Option<()>,
    #[schema(value_type = Option<Object>)]
    run_step_invocation: Option<()>,
}

impl Step {
    pub(crate) fn new(row: queries::steps::Step, account_id: i64) -> Self {
        let duration = match (row.started_at, row.finished_at) {
            (Some(started), Some(finished)) => finished - started,
            _ => chrono::TimeDelta::zero(),
        };
        Self {
            id: row.id,
            run_id: row.run_id,
            account_id,
            index: row.index,
            status: row.status,
            status_humanized: RunStatus::from_number(row.status).map_or("Unknown", RunStatus::humanized),
            name: match (row.command, row.invocation_id) {
                // As dbt Cloud names steps; clients take the command out of it.
                (Some(command), _) => format!("Invoke dbt with `{command}`"),
                (None, Some(invocation)) => format!("dbt invocation {invocation}"),
                (None, None) => "dbt invocation".to_owned(),
            },
            created_at: spaced_time(row.created_at),
            updated_at: spaced_time(row.updated_at),
            started_at: row.started_at.map(spaced_time),
            finished_at: row.finished_at.map(spaced_time),
            duration: clock_duration(duration),
            duration_humanized: humanized_duration(duration),
            logs: None,
            debug_logs: None,
            truncated_debug_logs: None,
            unknown: UnknownOfStep::default(),
        }
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Adds the log of the step.
    pub(crate) fn set_log(&mut self, log: Log) {
        self.truncated_debug_logs = Some(Arc::clone(&log.end));
        self.logs = Some(log.end);
        self.debug_logs = Some(log.debug);
    }
}
