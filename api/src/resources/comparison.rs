//! What differs between two runs or two environments.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::run_overview::RunComparison;

/// What differs between two runs or two environments.
#[derive(Debug, Serialize, ToSchema)]
pub struct Comparison {
    /// How many nodes only the second has.
    pub added_total: usize,
    /// How many nodes only the first has.
    pub removed_total: usize,
    /// How many nodes both have with different definitions. If more than 500 stored definitions differ, all of them count, also those that differ only
    /// by the target.
    pub changed_total: usize,
    /// 25 of the nodes that were asked for from the offset that was asked for, by id.
    pub nodes: Vec<NodeChange>,
    /// What differs between the results of two runs; null for environments, and if one of the runs has no results.
    pub results: Option<RunComparison>,
}

/// A node that differs.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeChange {
    /// dbt's id.
    pub unique_id: String,
    /// The resource type, such as `model`.
    pub resource_type: String,
    /// The name of the node.
    pub name: Option<String>,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// For a changed node: the fields that differ, such as `raw_code` or `config`, without `columns`. If more than 500 stored definitions differ, it has
    /// none where they differ only by the target.
    pub fields: BTreeMap<String, FieldChange>,
    /// For a changed node: the columns that differ.
    pub columns: Vec<ColumnChange>,
}

/// A field that differs, in both definitions.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChange {
    /// The value in the first; null if it is absent.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Box<RawValue>>,
    /// The value in the second; null if it is absent.
    #[schema(value_type = Option<Object>)]
    pub now: Option<Box<RawValue>>,
}

/// A column that differs.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ColumnChange {
    /// The name of the column.
    pub name: String,
    /// What is known of it in the first; null if the first does not have it.
    pub before: Option<ColumnFacts>,
    /// What is known of it in the second; null if the second does not have it.
    pub now: Option<ColumnFacts>,
}

/// A column of one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ColumnFacts {
    /// The declared type.
    pub data_type: Option<String>,
    /// The type in the warehouse. Environments are compared by it if both have a catalog with the node; runs are not.
    pub catalog_type: Option<String>,
    /// The description.
    pub description: Option<String>,
}
