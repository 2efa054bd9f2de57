//! The results of a run: what its commands did to each node.

use artifacts::NodeResult;
use read_model::doc::decode_doc;
use read_model::queries::results::RunResult;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::outcome::{Timing, raw};
use crate::error::Error;
use crate::format::iso_time;

/// A result of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunResult)]
pub(crate) struct ResultOfRun {
    /// dbt's id of the node.
    unique_id: String,
    /// Such as `model`; `operation` for a hook, `macro` for a macro that was called.
    resource_type: String,
    /// dbt's word in lower case.
    status: String,
    /// Whether the command was meant to change or test the node. `docs generate` and `compile` also list nodes that they only compiled.
    is_attempt: bool,
    #[schema(format = DateTime)]
    completed_at: String,
    /// The number of the step in the run, from 1.
    step: i64,
    step_id: i64,
    message: Option<String>,
    /// For a test: how many rows failed.
    failures: Option<i64>,
    rows_affected: Option<i64>,
    /// In seconds.
    execution_time: Option<f64>,
    thread_id: Option<String>,
    /// When it was compiled.
    compile: Option<Timing>,
    /// When it was executed. Skipped nodes have no times.
    execute: Option<Timing>,
    #[schema(value_type = Option<Object>)]
    adapter_response: Option<Box<RawValue>>,
}

impl ResultOfRun {
    pub(crate) fn new(row: RunResult) -> Result<Self, Error> {
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
