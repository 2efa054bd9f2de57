//! The results of a run: what its commands did to each node. dbt Cloud's API does not have this route.

use edge::{CloudError, List, Query};
use read_model::queries;
use read_model::queries::results::ResultFilter;
use schemas::{AccountId, RunId};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::error::Error;
use crate::listing::{Choice, Listing, Many, any_of, applied, many};
use crate::resources::run_result::ResultOfRun;
use crate::view::{Ids, View};

/// Which results; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct ResultFilters {
    /// Only results with this status, such as `error`, in any case.
    status: Option<String>,
    /// Only results with one of these statuses, such as `error,fail`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    status__in: Option<List<String>>,
    /// Only results of nodes of this type, such as `test`.
    resource_type: Option<String>,
    /// Only results of the node with this id.
    unique_id: Option<String>,
    /// Only results of this step, from 1.
    step: Option<i64>,
}

impl ResultFilters {
    fn filter(&self) -> ResultFilter {
        // dbt writes statuses in any case.
        let one = self.status.as_ref().map(|status| status.to_lowercase());
        let many = self.status__in.as_ref();
        let many = many.map(|many| List(many.0.iter().map(|status| status.to_lowercase()).collect()));
        ResultFilter {
            statuses: any_of(one.as_ref(), many.as_ref()),
            resource_type: self.resource_type.clone(),
            unique_id: self.unique_id.clone(),
            step: self.step,
        }
    }
}

/// A field that results can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultOrder {
    Step,
}

impl Choice for ResultOrder {
    const ALL: &'static [(&'static str, Self)] = &[("step", Self::Step)];
}

/// List the results of a run
///
/// What the run's commands did to each node, step by step, each step in dbt's order.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/results", tag = "Nodes", operation_id = "list_results_of_run",
    params(("account_id" = i64, Path), ("run_id" = i64, Path), ResultFilters, Listing<ResultOrder>),
    responses((status = 200, description = "A page of results", body = Many<ResultOfRun>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((account, run)): Ids<(AccountId, RunId)>,
    Query(filters): Query<ResultFilters>,
    listing: Listing<ResultOrder>,
) -> Result<Many<ResultOfRun>, Error> {
    let Listing { order, paging } = listing;
    let row = queries::runs::run(view.connection(), account, run).await?;
    let run = RunId(row.ok_or_else(CloudError::not_found)?.id);
    let filter = filters.filter();
    let page =
        queries::results::run_results(view.connection(), account, run, &filter, order.descending, paging).await?;
    let results = page.rows.into_iter().map(ResultOfRun::new).collect::<Result<_, _>>()?;
    Ok(many(results, page.total, listing, applied(account, &filters)))
}
