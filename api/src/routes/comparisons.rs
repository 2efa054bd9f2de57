//! Comparisons of two runs or two environments. dbt Cloud's API does not have this route.

use edge::{One, Query, one};
use schemas::{EnvironmentId, RunId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::comparison::{self, ChangeKind, Comparison, Shown, Subjects};
use crate::error::Error;
use crate::view::View;

/// Which two to compare, and which of the nodes that differ to show.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ComparisonParams {
    /// The first run.
    run: Option<i64>,
    /// The first environment, instead of a run.
    environment: Option<i64>,
    /// The second run or environment.
    with: i64,
    /// Only nodes that differ like this: `added`, `removed` or `changed`.
    #[param(inline)]
    change: Option<ChangeKind>,
    /// How many of these nodes to skip.
    #[param(minimum = 0, default = 0)]
    offset: Option<usize>,
}

/// Compare two runs or two environments
///
/// The nodes that differ, with their code and columns; of runs also the results that differ. Give either `run` or `environment`.
#[utoipa::path(
    get, path = "/api/v3/accounts/{account_id}/compare", tag = "Nodes", operation_id = "compare",
    params(("account_id" = i64, Path), ComparisonParams),
    responses((status = 200, description = "What differs", body = One<Comparison>))
)]
pub(crate) async fn show(mut view: View, Query(params): Query<ComparisonParams>) -> Result<One<Comparison>, Error> {
    let subjects = match (params.run, params.environment) {
        (Some(run), None) => Subjects::Runs(RunId(run), RunId(params.with)),
        (None, Some(environment)) => Subjects::Environments(EnvironmentId(environment), EnvironmentId(params.with)),
        (run, _) => return Err(comparison::not_one_of_them(run.is_some()).into()),
    };
    let shown = Shown {
        kind: params.change,
        offset: params.offset.unwrap_or_default(),
    };
    Ok(one(comparison::of(&mut view, subjects, shown).await?))
}
