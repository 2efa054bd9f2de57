//! The nodes of a selection.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::lineage::Chosen;

/// The nodes of a selection, and how they depend on each other.
#[derive(Serialize, ToSchema)]
pub(crate) struct SelectedLineage {
    /// How many levels of parents were added; null for all.
    up: Option<u32>,
    /// How many levels of children were added; null for all.
    down: Option<u32>,
    /// Ordered by id.
    nodes: Vec<SelectedNode>,
}

/// A node of a selection.
#[derive(Serialize, ToSchema)]
pub(crate) struct SelectedNode {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    materialized: Option<String>,
    /// Whether it was selected, and not only added as a parent or child.
    is_selected: bool,
    /// What dbt last did to it, or the last check of a source, in dbt's word.
    status: Option<String>,
    /// When that was completed.
    status_at: Option<DateTime<Utc>>,
    /// How many of its tests failed last.
    failing_tests: usize,
    /// The nodes that it depends on, also those that are not in this answer.
    depends_on: Vec<String>,
}

impl SelectedLineage {
    pub(crate) fn new(chosen: &Chosen) -> Self {
        let graph = chosen.defined.graph();
        let all_or = |levels: u32| (levels != u32::MAX).then_some(levels);
        let nodes = chosen.nodes.iter().map(|index| {
            let node = graph.node(*index);
            let last = chosen.statuses.get(index);
            SelectedNode {
                unique_id: node.unique_id.to_string(),
                resource_type: node.resource_type.to_string(),
                name: node.name.as_deref().map(str::to_owned),
                materialized: node.materialized.as_deref().map(str::to_owned),
                is_selected: chosen.selected.is_empty() || chosen.selected.binary_search(index).is_ok(),
                status: last.map(|last| last.status.clone()),
                status_at: last.map(|last| last.at),
                failing_tests: chosen.failing_tests(*index),
                depends_on: graph.depends_on(node),
            }
        });
        Self {
            up: all_or(chosen.levels.0),
            down: all_or(chosen.levels.1),
            nodes: nodes.collect(),
        }
    }
}
