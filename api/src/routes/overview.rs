//! Overviews: what an account and its environments look like now. dbt Cloud's API does not have these routes.

use axum::extract;
use edge::{One, Query, one};
use schemas::{AccountId, EnvironmentId, RunId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::resources::overview::{AccountOverview, EnvironmentOverview};
use crate::resources::run_overview::RunOverview;
use crate::state::State;
use crate::view::{Ids, View};
use crate::{overview, run_overview};

/// Show the overview of an account
///
/// Its active environments, each with how many jobs and nodes fail and when it last received an upload.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/overview", tag = "Accounts", operation_id = "retrieve_overview_of_account",
    params(("account_id" = i64, Path)),
    responses((status = 200, description = "The environments", body = One<AccountOverview>))
)]
pub(crate) async fn of_account(
    extract::State(state): extract::State<State>,
    mut view: View,
) -> Result<One<AccountOverview>, Error> {
    Ok(one(overview::of_account(&mut view, state.clock.now()).await?))
}

/// Show the overview of an environment
///
/// Its jobs with their newest runs, what fails now and since when, what is not fresh, and what changed since yesterday.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/environments/{id}/overview", tag = "Environments",
    operation_id = "retrieve_overview_of_environment",
    params(("account_id" = i64, Path), ("id" = i64, Path, description = "The environment")),
    responses((status = 200, description = "The state of the environment", body = One<EnvironmentOverview>))
)]
pub(crate) async fn of_environment(
    extract::State(state): extract::State<State>,
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
) -> Result<One<EnvironmentOverview>, Error> {
    Ok(one(
        overview::of_environment(&mut view, environment, state.clock.now()).await?
    ))
}

/// Which failures.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunOverviewParams {
    /// How many failures to skip.
    #[param(minimum = 0, default = 0)]
    failures_offset: Option<usize>,
}

/// Show the overview of a run
///
/// Its commands, what failed and what was skipped because of it, which nodes took the time, and what differs from the run before.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/runs/{run_id}/overview", tag = "Runs", operation_id = "retrieve_overview_of_run",
    params(("account_id" = i64, Path), ("run_id" = i64, Path), RunOverviewParams),
    responses((status = 200, description = "What happened in the run", body = One<RunOverview>))
)]
pub(crate) async fn of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    Query(RunOverviewParams { failures_offset }): Query<RunOverviewParams>,
) -> Result<One<RunOverview>, Error> {
    let (overview, _) = run_overview::of(&mut view, run, failures_offset.unwrap_or_default()).await?;
    Ok(one(overview))
}
