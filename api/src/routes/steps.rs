//! Steps: the dbt invocations of a run.

use std::collections::HashMap;

use axum::extract;
use edge::{CloudError, One, one};
use read_model::queries;
use schemas::{AccountId, RunId, StepId};

use crate::error::Error;
use crate::listing::{Choice, Related};
use crate::logs;
use crate::resources::step::Step;
use crate::state::State;
use crate::view::{Ids, View};

/// What can be included with a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelatedToStep {
    DebugLogs,
}

impl Choice for RelatedToStep {
    const ALL: &'static [(&'static str, Self)] = &[("debug_logs", Self::DebugLogs)];
}

/// Retrieve a step
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/steps/{id}", tag = "Runs", operation_id = "retrieve_run_step",
    params(("account_id" = i64, Path), ("id" = i64, Path), Related<RelatedToStep>),
    responses((status = 200, description = "The step", body = One<Step>))
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((account, id)): Ids<(AccountId, StepId)>,
    related: Related<RelatedToStep>,
) -> Result<One<Step>, Error> {
    let row = queries::steps::step(view.connection(), account, id).await?;
    let row = row.ok_or_else(CloudError::not_found)?;
    let found = queries::logs::step_logs(view.connection(), account, RunId(row.run_id), Some(id)).await?;
    // The bucket must not hold a connection of the database.
    drop(view);
    let mut steps = [Step::new(row, account.0)];
    logs::add(
        &state,
        account,
        &mut steps,
        &found,
        related.has(RelatedToStep::DebugLogs),
    )
    .await;
    let [step] = steps;
    Ok(one(step))
}

/// The steps of these runs by run, each in its order.
pub(super) async fn by_run(view: &mut View, runs: &[i64]) -> Result<HashMap<i64, Vec<Step>>, Error> {
    let account = view.account();
    let mut steps: HashMap<i64, Vec<Step>> = HashMap::new();
    for row in queries::steps::steps_of_runs(view.connection(), account, runs).await? {
        steps.entry(row.run_id).or_default().push(Step::new(row, account.0));
    }
    Ok(steps)
}
