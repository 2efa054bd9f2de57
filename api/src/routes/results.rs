//! The results of a run: what its commands did to each node. dbt Cloud has no such route.

use edge::{CloudError, Many, OrderBy, Paging, Params, many};
use read_model::decode_doc;
use read_model::queries::{self, ResultFilter, RunResult};
use schemas::{AccountId, NodeResult, RunId};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::outcomes::{Timing, raw};
use crate::error::Error;
use crate::format::iso_time;
use crate::list::{Filters, slice};
use crate::view::{Ids, View};

/// What a command of a run did to a node.
#[derive(Serialize, ToSchema)]
#[schema(as = RunResult)]
pub(crate) struct ResultOfRun {
    /// dbt's id of the node.
    unique_id: String,
    /// The node's type, such as `model`; `operation` for a hook, `macro` for a macro that was called.
    resource_type: String,
    /// dbt's status in lower case.
    status: String,
    /// Whether the command was meant to build or test the node. `docs generate` and `compile` also list nodes that they only compiled.
    is_attempt: bool,
    completed_at: String,
    /// The step's position in the run, counted from 1.
    step: i64,
    step_id: i64,
    message: Option<String>,
    /// The number of rows that failed a test.
    failures: Option<i64>,
    rows_affected: Option<i64>,
    /// The time that it took, in seconds.
    execution_time: Option<f64>,
    thread_id: Option<String>,
    /// When the node was compiled.
    compile: Option<Timing>,
    /// When the node was executed. A skipped node has no times.
    execute: Option<Timing>,
    #[schema(value_type = Option<Object>)]
    adapter_response: Option<Box<RawValue>>,
}

impl ResultOfRun {
    fn new(row: RunResult) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        let (resource_type, _) = row.unique_id.split_once('.').unwrap_or((&row.unique_id, ""));
        Ok(Self {
            resource_type: resource_type.to_owned(),
            unique_id: row.unique_id,
            status: row.status,
            is_attempt: row.is_attempt,
            completed_at: iso_time(row.at),
            step: row.step,
            step_id: row.step_id,
            message: result.message,
            failures: result.failures,
            rows_affected: result.rows_affected,
            execution_time: result.execution_time,
            thread_id: result.thread_id,
            compile: Timing::new(result.compile),
            execute: Timing::new(result.execute),
            adapter_response: result.adapter_response.and_then(raw),
        })
    }
}

/// Lists what a run's commands did to each node, by step, in dbt's order within each step.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/results", tag = "Nodes", operation_id = "List Results of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("status" = Option<String>, Query, description = "Only results with this status, such as `error`"),
        ("status__in" = Option<String>, Query, description = "Only results with one of these statuses, as JSON: `[\"error\",\"fail\"]`"),
        ("resource_type" = Option<String>, Query, description = "Only results of nodes of this type, such as `test`"),
        ("unique_id" = Option<String>, Query, description = "Only results of the node with this id"),
        ("step" = Option<i64>, Query, description = "Only results of this step, counted from 1"),
        ("order_by" = Option<String>, Query, description = "`step`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<ResultOfRun>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((account, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<Many<ResultOfRun>, Error> {
    let (paging, order) = (Paging::read(&params)?, OrderBy::read(&params, &["step"])?);
    let mut filters = Filters::new(&params, account);
    let (one, many_of) = (filters.text("status"), filters.texts("status__in"));
    let filter = ResultFilter {
        statuses: statuses(one, many_of),
        resource_type: filters.text("resource_type"),
        unique_id: filters.text("unique_id"),
        step: filters.number("step")?,
    };
    let row = queries::run(view.connection(), account, run).await?;
    let run = RunId(row.ok_or_else(CloudError::not_found)?.id);
    let page = queries::run_results(
        view.connection(),
        account,
        run,
        &filter,
        order.descending,
        slice(paging),
    )
    .await?;
    let results = page.rows.into_iter().map(ResultOfRun::new).collect::<Result<_, _>>()?;
    Ok(many(results, page.total, paging, &order, filters.applied()))
}

/// Combines both filters; if both are given, both must match. dbt writes statuses in any case, so they are compared in lower case.
fn statuses(one: Option<String>, many: Option<Vec<String>>) -> Option<Vec<String>> {
    let one = one.map(|status| status.to_lowercase());
    let many: Option<Vec<String>> = many.map(|many| many.iter().map(|status| status.to_lowercase()).collect());
    match (one, many) {
        (None, many) => many,
        (Some(one), None) => Some(vec![one]),
        (Some(one), Some(many)) => Some(many.into_iter().filter(|status| *status == one).collect()),
    }
}
