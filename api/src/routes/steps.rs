//! Steps: the dbt invocations of a run.

use std::collections::HashMap;

use edge::{CloudError, One, one};
use read_model::queries;
use schemas::{AccountId, StepId};

use crate::error::Error;
use crate::resources::step::Step;
use crate::view::{Ids, View};

/// Retrieve a step
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/steps/{id}", tag = "Runs", operation_id = "retrieve_run_step",
    params(("account_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "The step", body = One<Step>))
)]
pub(crate) async fn show(mut view: View, Ids((account, id)): Ids<(AccountId, StepId)>) -> Result<One<Step>, Error> {
    let row = queries::step(view.connection(), account, id).await?;
    Ok(one(Step::new(row.ok_or_else(CloudError::not_found)?, account.0)))
}

/// The steps of these runs by run, each in its order.
pub(super) async fn by_run(view: &mut View, runs: &[i64]) -> Result<HashMap<i64, Vec<Step>>, Error> {
    let account = view.account();
    let mut steps: HashMap<i64, Vec<Step>> = HashMap::new();
    for row in queries::steps_of_runs(view.connection(), account, runs).await? {
        steps.entry(row.run_id).or_default().push(Step::new(row, account.0));
    }
    Ok(steps)
}
