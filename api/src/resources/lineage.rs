//! The lineage of a node.

use serde::Serialize;
use utoipa::ToSchema;

/// The nodes around a node.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lineage {
    pub(crate) unique_id: String,
    /// Ordered by distance, then by id.
    pub(crate) nodes: Vec<LineageNode>,
}

/// A node of a lineage.
#[derive(Serialize, ToSchema)]
pub(crate) struct LineageNode {
    pub(crate) unique_id: String,
    pub(crate) resource_type: String,
    pub(crate) name: Option<String>,
    pub(crate) materialized: Option<String>,
    /// The distance: negative upstream, positive downstream, 0 for the node itself. Ephemeral models do not count.
    pub(crate) distance: i64,
    /// The nodes that it depends on; those that are not in this answer are farther away.
    pub(crate) depends_on: Vec<String>,
}
