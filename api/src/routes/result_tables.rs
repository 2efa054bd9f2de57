//! The results of nodes over many runs, as tables. dbt Cloud's API does not have these routes.

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use edge::{CloudError, List, Query, TimeRange};
use read_model::queries;
use read_model::queries::result_table::TableFilter;
use schemas::{AccountId, EnvironmentId, JobId};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::error::Error;
use crate::listing::{any_of, applied};
use crate::resources::result_row::ResultRow;
use crate::table::{self, Table, TablePaging, TablePagingParams};
use crate::view::{Ids, View};

/// The most memory that the rows of a page take, in bytes. A page ends early rather than take more.
const MAX_BYTES: usize = 16 << 20;

/// Which results; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct TableFilters {
    /// Only results of the node with this id.
    unique_id: Option<String>,
    /// Only results of nodes of this type, such as `test`.
    resource_type: Option<String>,
    /// Only results with this status, such as `error`, in any case.
    status: Option<String>,
    /// Only results with one of these statuses, such as `error,fail`.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    status__in: Option<List<String>>,
    /// Only results that were completed from one moment to another, both included.
    #[param(value_type = Option<Vec<chrono::DateTime<chrono::Utc>>>, style = Form, explode = false)]
    completed_at__range: Option<TimeRange>,
}

impl TableFilters {
    fn filter(&self, environment: EnvironmentId, job: Option<JobId>) -> TableFilter {
        // dbt writes statuses in any case.
        let one = self.status.as_ref().map(|status| status.to_lowercase());
        let many = self.status__in.as_ref();
        let many = many.map(|many| List(many.0.iter().map(|status| status.to_lowercase()).collect()));
        TableFilter {
            environment,
            job,
            unique_id: self.unique_id.clone(),
            resource_type: self.resource_type.clone(),
            statuses: any_of(one.as_ref(), many.as_ref()),
            completed: self.completed_at__range.map(|range| (range.from, range.to)),
        }
    }
}

/// List the results of an environment
///
/// What dbt did to nodes in all runs, as JSON, CSV or Parquet, whichever the client accepts. It includes attempts and checks of freshness,
/// but not what commands such as `docs generate` only list.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{environment_id}/results", tag = "Nodes",
    operation_id = "list_results_of_environment",
    params(("account_id" = i64, Path), ("environment_id" = i64, Path), TableFilters, TablePagingParams),
    responses((
        status = 200, description = "A page of results",
        headers(("Link" = String, description = "The next page, if there is one, as `rel=\"next\"`")),
        content((Table = "application/json"), (String = "text/csv"), (String = "application/vnd.apache.parquet"))
    ))
)]
pub(crate) async fn of_environment(
    mut view: View,
    Ids((account, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(filters): Query<TableFilters>,
    paging: TablePaging,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let known = directory::queries::environment(view.connection(), account, environment).await?;
    known.ok_or_else(CloudError::not_found)?;
    let filter = filters.filter(environment, None);
    let (rows, next) = page(&mut view, &filter, &paging).await?;
    table::answer(&headers, &uri, paging, rows, next, applied(account, &filters))
}

/// List the results of a job
///
/// What dbt did to nodes in all runs of the job, as JSON, CSV or Parquet, whichever the client accepts.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/jobs/{job_id}/results", tag = "Nodes", operation_id = "list_results_of_job",
    params(("account_id" = i64, Path), ("job_id" = i64, Path), TableFilters, TablePagingParams),
    responses((
        status = 200, description = "A page of results",
        headers(("Link" = String, description = "The next page, if there is one, as `rel=\"next\"`")),
        content((Table = "application/json"), (String = "text/csv"), (String = "application/vnd.apache.parquet"))
    ))
)]
pub(crate) async fn of_job(
    mut view: View,
    Ids((account, job)): Ids<(AccountId, JobId)>,
    Query(filters): Query<TableFilters>,
    paging: TablePaging,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let row = queries::jobs::job(view.connection(), account, job).await?;
    let row = row.ok_or_else(CloudError::not_found)?;
    let filter = filters.filter(EnvironmentId(row.environment_id), Some(job));
    let (rows, next) = page(&mut view, &filter, &paging).await?;
    table::answer(&headers, &uri, paging, rows, next, applied(account, &filters))
}

async fn page(
    view: &mut View,
    filter: &TableFilter,
    paging: &TablePaging,
) -> Result<(Vec<ResultRow>, Option<queries::result_table::TablePosition>), Error> {
    let account = view.account();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let take = |row| {
        let row = ResultRow::new(filter.environment, row);
        bytes += row.size();
        rows.push(row);
        bytes < MAX_BYTES
    };
    let next = queries::result_table::result_table(view.connection(), account, filter, paging.range, take).await?;
    Ok((rows, next))
}
