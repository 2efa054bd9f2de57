//! The results of a run: what its commands did to each node. A route of our own; dbt Cloud has none like it.

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

/// A result of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunResult)]
pub(crate) struct ResultOfRun {
    /// dbt's id of the node.
    unique_id: String,
    /// Such as `model`; of a hook `operation`, of a macro that was called `macro`.
    resource_type: String,
    /// In small letters, as dbt says it.
    status: String,
    /// Whether the command was to do something to the node. `docs generate` and `compile` list nodes that they only compiled.
    is_attempt: bool,
    completed_at: String,
    /// The step's place in the run, from 1.
    step: i64,
    step_id: i64,
    message: Option<String>,
    /// Of a test: the rows that failed.
    failures: Option<i64>,
    rows_affected: Option<i64>,
    /// In seconds.
    execution_time: Option<f64>,
    thread_id: Option<String>,
    /// When it was compiled.
    compile: Option<Timing>,
    /// When it was executed. What was skipped has no times.
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

/// Lists what a run's commands did to each node, step by step, each in dbt's order.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/results", tag = "Nodes", operation_id = "List Results of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("status" = Option<String>, Query, description = "Only results with this status, such as `error`"),
        ("status__in" = Option<String>, Query, description = "Only results with one of these: `[\"error\",\"fail\"]`"),
        ("resource_type" = Option<String>, Query, description = "Only of nodes of this type, such as `test`"),
        ("unique_id" = Option<String>, Query, description = "Only of the node with this id"),
        ("step" = Option<i64>, Query, description = "Only of this step, from 1"),
        ("order_by" = Option<String>, Query, description = "`step`; `-` in front reverses"),
        ("limit" = Option<i64>, Query, description = "At most 100"),
        ("offset" = Option<i64>, Query, description = "How many to pass over"),
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

/// Both must hold, where both are given. dbt writes statuses in any case.
fn statuses(one: Option<String>, many: Option<Vec<String>>) -> Option<Vec<String>> {
    let one = one.map(|status| status.to_lowercase());
    let many: Option<Vec<String>> = many.map(|many| many.iter().map(|status| status.to_lowercase()).collect());
    match (one, many) {
        (None, many) => many,
        (Some(one), None) => Some(vec![one]),
        (Some(one), Some(many)) => Some(many.into_iter().filter(|status| *status == one).collect()),
    }
}
