//! What dbt did to nodes, and what it found.

use artifacts::{NodeResult, Span};
use chrono::{DateTime, Utc};
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::results::FreshnessCheck;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::overview::{as_time, as_time_or_null};
use crate::error::Error;
use crate::format::iso_time;

/// What dbt did to a node.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastResult {
    /// dbt's word in lower case: `success`, `error`, `skipped`, `pass`, `fail`, `warn`, `no-op`, `reused`, …
    pub status: String,
    /// When dbt was done with it.
    #[serde(serialize_with = "as_time")]
    pub completed_at: DateTime<Utc>,
    /// The run that reported it.
    pub run_id: Option<i64>,
    /// The step that reported it.
    pub step_id: Option<i64>,
    /// dbt's message.
    pub message: Option<String>,
    /// For a test: how many rows failed.
    pub failures: Option<i64>,
    /// How many rows were affected, as the adapter reports it.
    pub rows_affected: Option<i64>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// dbt's name of the thread.
    pub thread_id: Option<String>,
    /// Whether the command ran with `--empty` or `--sample`. If so, it does not count as a success.
    pub is_limited: bool,
    /// What the adapter answered.
    #[schema(value_type = Option<Object>)]
    pub adapter_response: Option<Box<RawValue>>,
}

impl LastResult {
    pub(crate) fn new(row: &queries::results::NodeResult) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        Ok(Self {
            status: row.status.clone(),
            completed_at: row.at,
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

    /// The result of a source: its freshness check, since dbt does nothing else to sources.
    pub(crate) fn of_source(freshness: &Freshness) -> Self {
        Self {
            status: freshness.status.clone(),
            completed_at: freshness.checked_at,
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

/// How fresh a source or model is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Freshness {
    /// `pass`, `warn`, `error` or `runtime error`. `unknown` if a later run of the job checked freshness and dbt left this node out, as it
    /// does when the check itself failed; the other fields then describe the last check that dbt reported.
    pub status: String,
    /// When the check was done.
    #[serde(serialize_with = "as_time")]
    pub checked_at: DateTime<Utc>,
    /// The run that reported it.
    pub run_id: Option<i64>,
    /// The step that reported it.
    pub step_id: Option<i64>,
    /// dbt's message.
    pub message: Option<String>,
    /// When its newest row was loaded.
    #[serde(serialize_with = "as_time_or_null")]
    pub max_loaded_at: Option<DateTime<Utc>>,
    /// When dbt asked for that time.
    #[serde(serialize_with = "as_time_or_null")]
    pub snapshotted_at: Option<DateTime<Utc>>,
    /// How old its newest row was then, in seconds.
    pub max_loaded_at_time_ago_in_s: Option<f64>,
    /// How old it may be: `warn_after` and `error_after`.
    #[schema(value_type = Option<Object>)]
    pub criteria: Option<Box<RawValue>>,
}

impl Freshness {
    /// The status of a check that a later check has made obsolete.
    pub(crate) const UNKNOWN: &str = "unknown";

    pub(crate) fn new(row: &FreshnessCheck) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        let (status, message) = if row.is_outdated {
            let message = format!(
                "a later check did not list this node; the last check that did reported `{}`",
                row.status
            );
            (Self::UNKNOWN.to_owned(), Some(message))
        } else {
            (row.status.clone(), result.message)
        };
        Ok(Self {
            status,
            checked_at: row.at,
            run_id: row.run_id,
            step_id: row.step_id,
            message,
            max_loaded_at: result.max_loaded_at,
            snapshotted_at: result.snapshotted_at,
            max_loaded_at_time_ago_in_s: result.age,
            criteria: result.criteria.and_then(raw),
        })
    }
}

/// When something started and ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct Timing {
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    completed_at: Option<String>,
}

impl Timing {
    pub(crate) fn new(span: Span) -> Option<Self> {
        (span != Span::default()).then(|| Self {
            started_at: span.started_at.map(iso_time),
            completed_at: span.completed_at.map(iso_time),
        })
    }
}

pub(crate) fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}
