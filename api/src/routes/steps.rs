//! Steps, which are the dbt invocations of a run.

use std::collections::HashMap;

use edge::{CloudError, One, one};
use read_model::queries;
use schemas::{AccountId, StepId};
use serde::Serialize;
use utoipa::ToSchema;

use super::runs::status_humanized;
use crate::error::Error;
use crate::format::{clock_duration, humanized_duration, spaced_time};
use crate::view::{Ids, View};

/// A step of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunStep)]
pub(crate) struct Step {
    id: i64,
    run_id: i64,
    account_id: i64,
    /// The step's position in the run, counted from 1, as `?step=` of the artifacts takes it.
    index: i64,
    status: i16,
    status_humanized: &'static str,
    name: String,
    created_at: String,
    updated_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    duration: String,
    duration_humanized: String,
    #[serde(flatten)]
    unknown: UnknownOfStep,
}

/// Fields of dbt Cloud that this service does not know. Always null.
#[derive(Default, Serialize, ToSchema)]
struct UnknownOfStep {
    logs: Option<String>,
    debug_logs: Option<String>,
    log_path: Option<String>,
    debug_log_path: Option<String>,
    truncated_debug_logs: Option<String>,
    status_color: Option<String>,
    #[schema(value_type = Option<Object>)]
    run_step_command: Option<()>,
    #[schema(value_type = Option<Object>)]
    run_step_invocation: Option<()>,
}

impl Step {
    fn new(row: queries::Step, account_id: i64) -> Self {
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
            status_humanized: status_humanized(row.status),
            name: match (row.command, row.invocation_id) {
                // The form in which dbt Cloud names steps. Clients parse the command out of it.
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
            unknown: UnknownOfStep::default(),
        }
    }
}

/// Shows a step.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/steps/{id}", tag = "Runs", operation_id = "Retrieve Run Step",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, body = One<Step>))
)]
pub(crate) async fn show(mut view: View, Ids((account, id)): Ids<(AccountId, StepId)>) -> Result<One<Step>, Error> {
    let row = queries::step(view.connection(), account, id).await?;
    Ok(one(Step::new(row.ok_or_else(CloudError::not_found)?, account.0)))
}

/// Returns the steps of these runs, by run id, in their order.
pub(super) async fn by_run(view: &mut View, runs: &[i64]) -> Result<HashMap<i64, Vec<Step>>, Error> {
    let account = view.account();
    let mut steps: HashMap<i64, Vec<Step>> = HashMap::new();
    for row in queries::steps_of_runs(view.connection(), account, runs).await? {
        steps.entry(row.run_id).or_default().push(Step::new(row, account.0));
    }
    Ok(steps)
}
