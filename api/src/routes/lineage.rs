//! Lineage: the nodes that a node depends on, and those that depend on it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use edge::{CloudError, One, Query, one};
use read_model::queries;
use read_model::queries::graph::GraphNode;
use schemas::{AccountId, EnvironmentId, RunId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::scope::Scope;
use crate::error::Error;
use crate::resources::lineage::{Lineage, LineageNode};
use crate::view::{Ids, View};

/// Whose lineage, in which direction and how far.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LineageParams {
    /// dbt's id of the node, such as `model.shop.orders`.
    unique_id: String,
    /// In which direction to go.
    #[param(inline)]
    direction: Option<Direction>,
    /// How far to go; ephemeral models do not count. By default to the ends.
    depth: Option<i64>,
}

/// In which direction to follow the graph.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Both,
    Upstream,
    Downstream,
}

/// Show the lineage of a node of an environment
///
/// In the newest manifests.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/lineage", tag = "Nodes", operation_id = "retrieve_lineage",
    params(("account_id" = i64, Path), ("id" = i64, Path, description = "The environment"), LineageParams),
    responses((status = 200, description = "The nodes around the node", body = One<Lineage>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(params): Query<LineageParams>,
) -> Result<One<Lineage>, Error> {
    let scope = Scope::of_environment(&mut view, environment).await?;
    lineage(view, &scope, params).await
}

/// Show the lineage of a node of a run
///
/// In the run's newest manifests.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/lineage", tag = "Nodes", operation_id = "retrieve_lineage_of_run",
    params(("account_id" = i64, Path), ("run_id" = i64, Path), LineageParams),
    responses((status = 200, description = "The nodes around the node", body = One<Lineage>))
)]
pub(crate) async fn show_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    Query(params): Query<LineageParams>,
) -> Result<One<Lineage>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    lineage(view, &scope, params).await
}

async fn lineage(mut view: View, scope: &Scope, params: LineageParams) -> Result<One<Lineage>, Error> {
    let account = view.account();
    let graph = queries::graph::graph(view.connection(), account, scope.nodes()?).await?;
    let nodes = around(&graph, &params).ok_or_else(CloudError::not_found)?;
    Ok(one(Lineage {
        unique_id: params.unique_id,
        nodes,
    }))
}

/// Returns the nodes around a node, and the node itself. Returns `None` if the graph does not have it.
fn around(graph: &[GraphNode], params: &LineageParams) -> Option<Vec<LineageNode>> {
    let unique_id = params.unique_id.as_str();
    let depth = params.depth.unwrap_or(i64::MAX).max(0);
    let direction = params.direction.unwrap_or_default();
    let by_id: HashMap<&str, &GraphNode> = graph.iter().map(|node| (node.unique_id.as_str(), node)).collect();
    by_id.get(unique_id)?;
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for node in graph {
        for parent in &node.depends_on {
            children.entry(parent).or_default().push(&node.unique_id);
        }
    }
    let parents: HashMap<&str, Vec<&str>> = graph
        .iter()
        .map(|node| {
            (
                node.unique_id.as_str(),
                node.depends_on.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    let mut distances = BTreeMap::from([(unique_id, 0)]);
    if direction != Direction::Downstream {
        for (id, distance) in distances_along(&parents, &by_id, unique_id, depth) {
            distances.entry(id).or_insert(-distance);
        }
    }
    if direction != Direction::Upstream {
        for (id, distance) in distances_along(&children, &by_id, unique_id, depth) {
            distances.entry(id).or_insert(distance);
        }
    }
    let mut nodes: Vec<LineageNode> = distances
        .into_iter()
        .filter_map(|(id, distance)| {
            let node = by_id.get(id)?;
            Some(LineageNode {
                unique_id: node.unique_id.clone(),
                resource_type: node.resource_type.clone(),
                name: node.name.clone(),
                materialized: node.materialized.clone(),
                distance,
                depends_on: node.depends_on.clone(),
            })
        })
        .collect();
    nodes.sort_by(|one, other| (one.distance, &one.unique_id).cmp(&(other.distance, &other.unique_id)));
    Some(nodes)
}

/// The shortest distance to each node. A step from an ephemeral model costs nothing, since its code becomes part of the nodes that use it.
fn distances_along<'g>(
    next: &HashMap<&'g str, Vec<&'g str>>,
    nodes: &HashMap<&'g str, &'g GraphNode>,
    start: &'g str,
    depth: i64,
) -> HashMap<&'g str, i64> {
    let mut distances = HashMap::new();
    let mut waiting = VecDeque::from([(start, 0)]);
    while let Some((id, distance)) = waiting.pop_front() {
        let is_ephemeral = id != start
            && nodes
                .get(id)
                .is_some_and(|node| node.materialized.as_deref() == Some("ephemeral"));
        let farther = if is_ephemeral { distance } else { distance + 1 };
        if farther > depth {
            continue;
        }
        for other in next.get(id).into_iter().flatten() {
            let known = distances.get(other).copied().unwrap_or(i64::MAX);
            if *other == start || !nodes.contains_key(other) || known <= farther {
                continue;
            }
            distances.insert(*other, farther);
            // Steps that cost nothing come first, so that the first path found is the shortest.
            if is_ephemeral {
                waiting.push_front((other, farther));
            } else {
                waiting.push_back((other, farther));
            }
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, materialized: &str, depends_on: &[&str]) -> GraphNode {
        GraphNode {
            unique_id: id.to_owned(),
            resource_type: "model".to_owned(),
            name: None,
            materialized: Some(materialized.to_owned()),
            depends_on: depends_on.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    fn params(id: &str, direction: Direction, depth: i64) -> LineageParams {
        LineageParams {
            unique_id: id.to_owned(),
            direction: Some(direction),
            depth: Some(depth),
        }
    }

    #[test]
    fn ephemeral_models_are_passed_through() {
        let graph = [
            node("a", "table", &[]),
            node("e", "ephemeral", &["a"]),
            node("b", "table", &["e", "gone"]),
            node("c", "table", &["b", "a"]),
            node("x", "table", &[]),
        ];
        let around = |id: &str, direction, depth| {
            let params = params(id, direction, depth);
            let nodes = around(&graph, &params).unwrap();
            nodes
                .into_iter()
                .map(|node| (node.unique_id, node.distance))
                .collect::<Vec<_>>()
        };
        let expected = |nodes: &[(&str, i64)]| {
            nodes
                .iter()
                .map(|(id, distance)| ((*id).to_owned(), *distance))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            around("b", Direction::Both, 9),
            expected(&[("a", -1), ("e", -1), ("b", 0), ("c", 1)])
        );
        assert_eq!(
            around("a", Direction::Downstream, 1),
            expected(&[("a", 0), ("b", 1), ("c", 1), ("e", 1)])
        );
        assert_eq!(
            around("c", Direction::Upstream, 1),
            expected(&[("a", -1), ("b", -1), ("c", 0)])
        );
        assert_eq!(around("c", Direction::Upstream, 0), expected(&[("c", 0)]));
    }

    #[test]
    fn circles_end() {
        let graph = [node("a", "table", &["b"]), node("b", "ephemeral", &["a"])];
        let both = |id| params(id, Direction::Both, i64::MAX);
        assert_eq!(around(&graph, &both("a")).unwrap().len(), 2);
        assert!(around(&graph, &both("nothing")).is_none());
    }
}
