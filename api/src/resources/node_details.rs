//! The details of a node, from the newest manifests, catalogs and results.

use std::collections::HashMap;

use read_model::queries::graph::Neighbour;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::column::Column;
use super::node::Fields;
use super::outcome::{Freshness, LastResult};

/// A node with everything that is known about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeDetails {
    pub(crate) unique_id: String,
    pub(crate) resource_type: String,
    /// The node as dbt wrote it into the manifest.
    pub(crate) node: Fields,
    /// The code with its Jinja: `raw_code`, or `raw_sql` before dbt 1.3.
    pub(crate) raw_code: Option<String>,
    /// The code that the warehouse ran, from the newest manifest in which this node has any.
    pub(crate) compiled_code: Option<String>,
    /// Declared columns and columns of the warehouse, in the warehouse's order; those that are only declared come last.
    pub(crate) columns: Vec<Column>,
    /// From the newest catalog that lists this node.
    pub(crate) catalog: Option<CatalogTable>,
    /// The nodes that it depends on.
    pub(crate) parents: Vec<String>,
    /// The nodes that depend on it, without tests.
    pub(crate) children: Vec<String>,
    /// The macros that it calls.
    pub(crate) macros: Vec<String>,
    /// Its tests: those that dbt attached to it, and those that dbt attached to no node and that depend on it.
    pub(crate) tests: Vec<Test>,
    /// Tests of other nodes that also depend on it, such as tests of foreign keys.
    pub(crate) related_tests: Vec<Test>,
    /// The last attempt, including `skipped` and `no-op`. For a source, its newest freshness check.
    pub(crate) last_result: Option<LastResult>,
    /// The last successful attempt. Skipped nodes and builds with `--empty` or `--sample` do not count.
    pub(crate) last_success: Option<LastResult>,
    /// The newest freshness check.
    pub(crate) freshness: Option<Freshness>,
}

/// What the warehouse reports about the table.
#[derive(Serialize, ToSchema)]
pub(crate) struct CatalogTable {
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Box<RawValue>>,
    #[schema(value_type = Option<Object>)]
    pub(crate) stats: Option<Box<RawValue>>,
}

/// A test that the manifest defines, with its last result.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeTest)]
pub(crate) struct Test {
    pub(crate) unique_id: String,
    pub(crate) resource_type: String,
    pub(crate) name: Option<String>,
    /// The node that dbt attached it to. Singular tests have none: they belong to every node that they depend on.
    pub(crate) attached_node: Option<String>,
    pub(crate) last_result: Option<LastResult>,
}

impl Test {
    pub(crate) fn new(test: &Neighbour, attempts: &HashMap<String, LastResult>) -> Self {
        Self {
            unique_id: test.unique_id.clone(),
            resource_type: test.resource_type.clone(),
            name: test.name.clone(),
            attached_node: test.attached_node.clone(),
            last_result: attempts.get(&test.unique_id).cloned(),
        }
    }
}
