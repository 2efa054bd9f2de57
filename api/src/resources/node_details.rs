//! The details of a node, from the newest manifests, catalogs and results.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use read_model::queries::graph::Neighbour;
use read_model::queries::history::PastResult;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::column::Column;
use super::node::Fields;
use super::outcome::{Freshness, LastResult};
use super::overview::as_time;

/// A node with everything that is known about it.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeDetails {
    /// dbt's id.
    pub unique_id: String,
    /// Such as `model`, `test`, `source` or `macro`.
    pub resource_type: String,
    /// The node as dbt wrote it into the manifest.
    pub node: Fields,
    /// The group that it belongs to, as dbt wrote it into the manifest. Its `owner` says whom to ask.
    pub group: Option<Fields>,
    /// The code with its Jinja: `raw_code`, or `raw_sql` before dbt 1.3.
    pub raw_code: Option<String>,
    /// The code that the warehouse ran, from the newest manifest in which this node has any.
    pub compiled_code: Option<String>,
    /// Declared columns and columns of the warehouse, in the warehouse's order; those that are only declared come last.
    pub columns: Vec<Column>,
    /// From the newest catalog that lists this node.
    pub catalog: Option<CatalogTable>,
    /// The nodes that it depends on.
    pub parents: Vec<String>,
    /// The nodes that depend on it, without tests.
    pub children: Vec<String>,
    /// The last results of its parents and children, of at most 200 of each.
    pub results_of_relatives: HashMap<String, RelativeResult>,
    /// The macros that it calls.
    pub macros: Vec<String>,
    /// Its tests: those that dbt attached to it, and those that dbt attached to no node and that depend on it.
    pub tests: Vec<Test>,
    /// Tests of other nodes that also depend on it, such as tests of foreign keys.
    pub related_tests: Vec<Test>,
    /// The last attempt, including `skipped` and `no-op`. For a source, its newest freshness check.
    pub last_result: Option<LastResult>,
    /// The last successful attempt. Skipped nodes and builds with `--empty` or `--sample` do not count.
    pub last_success: Option<LastResult>,
    /// The newest freshness check.
    pub freshness: Option<Freshness>,
    /// The newest attempts, at most 60, the newest first. For a source, its newest freshness checks.
    pub history: Vec<Attempt>,
    /// The uploads that these facts come from.
    pub origins: Vec<Origin>,
}

/// What the warehouse reports about the table.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogTable {
    /// Its type, schema, owner and comment.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// Its size and other figures, as the adapter reports them.
    #[schema(value_type = Option<Object>)]
    pub stats: Option<Box<RawValue>>,
}

/// A test that the manifest defines, with its last result.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeTest)]
pub struct Test {
    /// dbt's id.
    pub unique_id: String,
    /// `test` or `unit_test`.
    pub resource_type: String,
    /// The name of the test.
    pub name: Option<String>,
    /// Which generic test it is, such as `not_null`.
    pub kind: Option<String>,
    /// The column that it checks, if it checks one.
    pub column_name: Option<String>,
    /// The node that dbt attached it to. Singular tests have none: they belong to every node that they depend on.
    pub attached_node: Option<String>,
    /// Its last attempt.
    pub last_result: Option<LastResult>,
}

impl Test {
    pub(crate) fn new(test: &Neighbour, definition: Option<&[u8]>, attempts: &HashMap<String, LastResult>) -> Self {
        let defined: Defined = definition
            .and_then(|json| serde_json::from_slice(json).ok())
            .unwrap_or_default();
        Self {
            unique_id: test.unique_id.clone(),
            resource_type: test.resource_type.clone(),
            name: test.name.clone(),
            kind: defined.test_metadata.and_then(|metadata| metadata.name),
            column_name: defined.column_name,
            attached_node: test.attached_node.clone(),
            last_result: attempts.get(&test.unique_id).cloned(),
        }
    }
}

/// The definition of a test, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Defined {
    column_name: Option<String>,
    test_metadata: Option<TestMetadata>,
}

#[derive(Deserialize)]
struct TestMetadata {
    name: Option<String>,
}

/// The last result of a parent or child. For a source, its newest freshness check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RelativeResult {
    /// dbt's word in lower case.
    pub status: String,
    /// The run that reported it.
    pub run_id: Option<i64>,
}

/// An attempt at the node, or a check of its freshness.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NodeAttempt)]
pub struct Attempt {
    /// dbt's word in lower case.
    pub status: String,
    /// When dbt was done with it.
    #[serde(serialize_with = "as_time")]
    pub completed_at: DateTime<Utc>,
    /// In seconds.
    pub execution_time: Option<f64>,
    /// For a test: how many rows failed.
    pub failures: Option<i64>,
    /// The run that reported it.
    pub run_id: Option<i64>,
    /// The step that reported it.
    pub step_id: Option<i64>,
}

impl From<PastResult> for Attempt {
    fn from(row: PastResult) -> Self {
        Self {
            status: row.status,
            completed_at: row.at,
            execution_time: row.execution_time,
            failures: row.failures,
            run_id: row.run_id,
            step_id: row.step_id,
        }
    }
}

/// The upload that a part of a node's state comes from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Origin {
    /// `definition`, `compiled_code`, `catalog`, `last_result`, `last_success` or `freshness`.
    pub aspect: &'static str,
    /// The event of the upload.
    pub event_id: Uuid,
    /// The kind of the file, such as `manifest`.
    pub kind: String,
    /// The name of the file, such as `manifest.json`.
    pub name: String,
    /// When dbt wrote the file.
    #[serde(serialize_with = "as_time")]
    pub written_at: DateTime<Utc>,
    /// When the upload was accepted.
    #[serde(serialize_with = "as_time")]
    pub uploaded_at: DateTime<Utc>,
    /// The run of the file.
    pub run_id: Option<i64>,
}

impl Origin {
    /// Nothing if the upload is not known.
    pub(crate) fn new(
        aspect: &'static str,
        (event_id, kind, name): (Option<Uuid>, Option<&str>, Option<&str>),
        (written_at, uploaded_at): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        run_id: Option<i64>,
    ) -> Option<Self> {
        Some(Self {
            aspect,
            event_id: event_id?,
            kind: kind?.to_owned(),
            name: name?.to_owned(),
            written_at: written_at?,
            uploaded_at: uploaded_at?,
            run_id,
        })
    }
}
