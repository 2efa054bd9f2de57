//! Lineage: the nodes that a node depends on, and the nodes that depend on it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use edge::{CloudError, InvalidParam, One, Params, one};
use read_model::queries::{self, GraphNode};
use schemas::{AccountId, EnvironmentId, RunId};
use serde::Serialize;
use utoipa::ToSchema;

use super::scope::Scope;
use crate::error::Error;
use crate::view::{Ids, View};

/// A node with its ancestors and descendants.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lineage {
    unique_id: String,
    /// Ordered by distance, then by id.
    nodes: Vec<LineageNode>,
}

/// A node of a lineage.
#[derive(Serialize, ToSchema)]
struct LineageNode {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    materialized: Option<String>,
    /// The number of steps from the node: negative upstream, positive downstream, 0 for the node itself. Ephemeral models do not count.
    distance: i64,
    /// The nodes that it depends on. Those not in this list are farther away.
    depends_on: Vec<String>,
}

/// The directions to follow, and how far.
#[derive(Clone, Copy)]
struct Reach {
    upstream: bool,
    downstream: bool,
    depth: i64,
}

impl Reach {
    fn read(params: &Params) -> Result<Self, InvalidParam> {
        let depth = params.number("depth")?.unwrap_or(i64::MAX).max(0);
        let direction = params.one_of("direction", &["both", "upstream", "downstream"])?;
        Ok(Self {
            upstream: direction != "downstream",
            downstream: direction != "upstream",
            depth,
        })
    }
}

/// Shows the lineage of a node in the newest manifest of an environment.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/lineage", tag = "Nodes", operation_id = "Retrieve Lineage",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path, description = "The environment"),
        ("unique_id" = String, Query, description = "dbt's id of the node, such as `model.shop.orders`"),
        ("direction" = Option<String>, Query, description = "`upstream`, `downstream` or, by default, `both`"),
        ("depth" = Option<i64>, Query, description = "The greatest distance, not counting ephemeral models. By default there is no limit"),
    ),
    responses((status = 200, body = One<Lineage>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    params: Params,
) -> Result<One<Lineage>, Error> {
    let scope = Scope::of_environment(&mut view, environment).await?;
    lineage(view, &scope, &params).await
}

/// Shows the lineage of a node in the newest manifest of a run.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/lineage", tag = "Nodes", operation_id = "Retrieve Lineage of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("unique_id" = String, Query, description = "dbt's id of the node, such as `model.shop.orders`"),
        ("direction" = Option<String>, Query, description = "`upstream`, `downstream` or, by default, `both`"),
        ("depth" = Option<i64>, Query, description = "The greatest distance, not counting ephemeral models. By default there is no limit"),
    ),
    responses((status = 200, body = One<Lineage>))
)]
pub(crate) async fn show_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<One<Lineage>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    lineage(view, &scope, &params).await
}

async fn lineage(mut view: View, scope: &Scope, params: &Params) -> Result<One<Lineage>, Error> {
    let (unique_id, reach) = (params.due("unique_id")?.to_owned(), Reach::read(params)?);
    let account = view.account();
    let graph = queries::graph(view.connection(), account, scope.nodes()?).await?;
    let nodes = around(&graph, &unique_id, reach).ok_or_else(CloudError::not_found)?;
    Ok(one(Lineage { unique_id, nodes }))
}

/// Returns the node and the nodes around it; none if the graph does not have it.
fn around(graph: &[GraphNode], unique_id: &str, reach: Reach) -> Option<Vec<LineageNode>> {
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
    if reach.upstream {
        for (id, distance) in distances_along(&parents, &by_id, unique_id, reach.depth) {
            distances.entry(id).or_insert(-distance);
        }
    }
    if reach.downstream {
        for (id, distance) in distances_along(&children, &by_id, unique_id, reach.depth) {
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

/// Returns the shortest distance to each node. A step from an ephemeral model counts 0, because dbt inlines it into the models that use it.
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
            // Steps that count 0 go first, so that the first path found is the shortest.
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

    #[test]
    fn ephemeral_models_do_not_count_in_distances() {
        let graph = [
            node("a", "table", &[]),
            node("e", "ephemeral", &["a"]),
            node("b", "table", &["e", "gone"]),
            node("c", "table", &["b", "a"]),
            node("x", "table", &[]),
        ];
        let around = |id: &str, upstream, downstream, depth| {
            let reach = Reach {
                upstream,
                downstream,
                depth,
            };
            let nodes = around(&graph, id, reach).unwrap();
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
            around("b", true, true, 9),
            expected(&[("a", -1), ("e", -1), ("b", 0), ("c", 1)])
        );
        assert_eq!(
            around("a", false, true, 1),
            expected(&[("a", 0), ("b", 1), ("c", 1), ("e", 1)])
        );
        assert_eq!(around("c", true, false, 1), expected(&[("a", -1), ("b", -1), ("c", 0)]));
        assert_eq!(around("c", true, false, 0), expected(&[("c", 0)]));
    }

    #[test]
    fn cycles_do_not_loop_forever() {
        let graph = [node("a", "table", &["b"]), node("b", "ephemeral", &["a"])];
        let reach = Reach {
            upstream: true,
            downstream: true,
            depth: i64::MAX,
        };
        assert_eq!(around(&graph, "a", reach).unwrap().len(), 2);
        assert!(around(&graph, "nothing", reach).is_none());
    }
}
