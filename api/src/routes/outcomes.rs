//! The outcomes of nodes, as answers show them.

use read_model::decode_doc;
use read_model::queries::{self, FreshnessCheck};
use schemas::{NodeResult, Span};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::Error;
use crate::format::iso_time;

/// The status of a freshness check that may no longer be true.
const UNKNOWN: &str = "unknown";

/// The outcome of a node.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct LastResult {
    /// dbt's status in lower case: `success`, `error`, `skipped`, `pass`, `fail`, `warn`, `no-op`, `reused`, …
    status: String,
    completed_at: String,
    /// The run that reported it.
    run_id: Option<i64>,
    /// The step that reported it.
    step_id: Option<i64>,
    message: Option<String>,
    /// The number of rows that failed a test.
    failures: Option<i64>,
    rows_affected: Option<i64>,
    /// The time that it took, in seconds.
    execution_time: Option<f64>,
    thread_id: Option<String>,
    /// Whether the command used `--empty` or `--sample`. Such a result never counts as a success.
    is_limited: bool,
    #[schema(value_type = Option<Object>)]
    adapter_response: Option<Box<RawValue>>,
}

impl LastResult {
    pub(super) fn new(row: &queries::NodeResult) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        Ok(Self {
            status: row.status.clone(),
            completed_at: iso_time(row.at),
            run_id: row.run_id,
            step_id: row.step_id,
            message: result.message,
            failures: result.failures,
            rows_affected: result.rows_affected,
            execution_time: result.execution_time,
            thread_id: result.thread_id,
            is_limited: row.is_limited,
            adapter_response: result.adapter_response.and_then(raw),
        })
    }

    /// The last result of a source, which is its freshness check, because dbt does nothing else to sources.
    pub(super) fn of_source(freshness: &Freshness) -> Self {
        Self {
            status: freshness.status.clone(),
            completed_at: freshness.checked_at.clone(),
            run_id: freshness.run_id,
            step_id: freshness.step_id,
            message: freshness.message.clone(),
            failures: None,
            rows_affected: None,
            execution_time: None,
            thread_id: None,
            is_limited: false,
            adapter_response: None,
        }
    }
}

/// The freshness of a source or model.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Freshness {
    /// `pass`, `warn`, `error` or `runtime error`. `unknown` if a later run of the job checked freshness and dbt left this node out, as it
    /// does when the check itself failed; the other fields are then from the last check that dbt reported.
    status: String,
    checked_at: String,
    /// The run that reported it.
    run_id: Option<i64>,
    /// The step that reported it.
    step_id: Option<i64>,
    /// dbt's message.
    message: Option<String>,
    /// When the newest row was loaded.
    max_loaded_at: Option<String>,
    /// When freshness was measured.
    snapshotted_at: Option<String>,
    /// The age of the newest row at that time, in seconds.
    max_loaded_at_time_ago_in_s: Option<f64>,
    /// The allowed age: `warn_after` and `error_after`.
    #[schema(value_type = Option<Object>)]
    criteria: Option<Box<RawValue>>,
}

impl Freshness {
    pub(super) fn new(row: &FreshnessCheck) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        let (status, message) = if row.is_outdated {
            let message = format!(
                "a later check did not report it; the last reported status is `{}`",
                row.status
            );
            (UNKNOWN.to_owned(), Some(message))
        } else {
            (row.status.clone(), result.message)
        };
        Ok(Self {
            status,
            checked_at: iso_time(row.at),
            run_id: row.run_id,
            step_id: row.step_id,
            message,
            max_loaded_at: result.max_loaded_at.map(iso_time),
            snapshotted_at: result.snapshotted_at.map(iso_time),
            max_loaded_at_time_ago_in_s: result.age,
            criteria: result.criteria.and_then(raw),
        })
    }
}

/// When something started and completed.
#[derive(Serialize, ToSchema)]
pub(super) struct Timing {
    started_at: Option<String>,
    completed_at: Option<String>,
}

impl Timing {
    pub(super) fn new(span: Span) -> Option<Self> {
        (span != Span::default()).then(|| Self {
            started_at: span.started_at.map(iso_time),
            completed_at: span.completed_at.map(iso_time),
        })
    }
}

pub(super) fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}
