//! A row of the results of nodes over many runs.

use artifacts::NodeResult;
use chrono::{DateTime, Utc};
use read_model::doc::decode_doc;
use read_model::queries::result_table::TableRow;
use schemas::EnvironmentId;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::format::iso_time;

/// The longest message in a table, in characters.
const MAX_MESSAGE: usize = 1_000;

/// What one dbt command did to one node.
#[derive(Serialize, ToSchema)]
#[schema(as = ResultRow)]
pub(crate) struct ResultRow {
    #[serde(serialize_with = "as_iso_time")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) completed_at: DateTime<Utc>,
    /// dbt's id of the node.
    pub(crate) unique_id: String,
    /// Such as `model`; `operation` for a hook.
    pub(crate) resource_type: String,
    /// dbt's word in lower case.
    pub(crate) status: String,
    /// dbt's name of the command, such as `build`.
    pub(crate) command: Option<String>,
    /// In seconds.
    pub(crate) execution_time: Option<f64>,
    /// For a test: how many rows failed.
    pub(crate) failures: Option<i64>,
    pub(crate) rows_affected: Option<i64>,
    /// The first 1,000 characters.
    pub(crate) message: Option<String>,
    pub(crate) environment_id: i64,
    pub(crate) job_id: i64,
    pub(crate) run_id: i64,
    pub(crate) step_id: Option<i64>,
}

fn as_iso_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso_time(*time))
}

impl ResultRow {
    pub(crate) fn new(environment: EnvironmentId, row: TableRow) -> Self {
        let (resource_type, _) = row.unique_id.split_once('.').unwrap_or((&row.unique_id, ""));
        Self {
            completed_at: row.at,
            resource_type: resource_type.to_owned(),
            unique_id: row.unique_id,
            status: row.status,
            command: row.command,
            execution_time: row.execution_time,
            failures: row.failures,
            rows_affected: row.rows_affected,
            message: row.doc.as_deref().and_then(message_of),
            environment_id: environment.0,
            job_id: row.job_id,
            run_id: row.run_id,
            step_id: row.step_id,
        }
    }

    /// About how much memory the row takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.unique_id.len() + self.status.len() + self.message.as_ref().map_or(0, String::len)
    }
}

/// Reads the message of a result. One that cannot be read has none: the other columns do not depend on it.
fn message_of(doc: &[u8]) -> Option<String> {
    let result = NodeResult::from_json(&decode_doc(doc).ok()?)?;
    let message = result.message?;
    Some(match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => message[..end].to_owned(),
        None => message,
    })
}
