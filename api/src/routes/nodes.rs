//! Nodes: what the newest manifests of an environment or a run define. dbt Cloud's API does not have these routes.

use edge::Query;
use read_model::queries;
use read_model::queries::nodes::NodeFilter;
use read_model::queries::page::{Page, Paging};
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::scope::Scope;
use crate::error::Error;
use crate::listing::{Choice, Listing, Many, applied, many};
use crate::resources::node::Node;
use crate::view::{Ids, View};

/// Which nodes; all filters must hold.
#[derive(Deserialize, IntoParams, Serialize)]
#[into_params(parameter_in = Query)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
pub(crate) struct NodeFilters {
    /// Only nodes of this type, such as `model`.
    resource_type: Option<String>,
    /// Only nodes whose name contains this, ignoring case.
    name__icontains: Option<String>,
    /// Only the node with this id, such as `model.shop.orders`.
    unique_id: Option<String>,
}

/// A field that nodes can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeOrder {
    UniqueId,
}

impl Choice for NodeOrder {
    const ALL: &'static [(&'static str, Self)] = &[("unique_id", Self::UniqueId)];
}

async fn page(
    mut view: View,
    filters: NodeFilters,
    listing: Listing<NodeOrder>,
    scope: Scope,
) -> Result<Many<Node>, Error> {
    let account = view.account();
    let Listing { order, paging } = listing;
    let filter = NodeFilter {
        resource_type: filters.resource_type.clone(),
        name_contains: filters.name__icontains.clone(),
        unique_id: filters.unique_id.clone(),
    };
    let Some(node_set) = scope.node_set else {
        return Ok(many(Vec::new(), 0, listing, applied(account, &filters)));
    };
    let page = if order.descending {
        from_the_end(&mut view, node_set, &filter, paging).await?
    } else {
        queries::nodes::nodes(view.connection(), account, node_set, &filter, paging).await?
    };
    let nodes = page.rows.iter().map(Node::new).collect::<Result<_, _>>()?;
    Ok(many(nodes, page.total, listing, applied(account, &filters)))
}

/// A page of the list in reverse: the stored order is ascending, so that this page is a part counted from the end.
async fn from_the_end(
    view: &mut View,
    node_set: Sha256,
    filter: &NodeFilter,
    paging: Paging,
) -> Result<Page<queries::nodes::Node>, Error> {
    let account = view.account();
    let first = Paging { limit: 1, offset: 0 };
    let total = queries::nodes::nodes(view.connection(), account, node_set, filter, first)
        .await?
        .total;
    let end = total.saturating_sub(paging.offset).max(0);
    let offset = end.saturating_sub(paging.limit).max(0);
    let limit = end - offset;
    let mut rows = Vec::new();
    if limit > 0 {
        let part = Paging { limit, offset };
        rows = queries::nodes::nodes(view.connection(), account, node_set, filter, part)
            .await?
            .rows;
        rows.reverse();
    }
    Ok(Page { rows, total })
}

/// List the nodes of an environment
///
/// As its newest manifests define them, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/nodes", tag = "Nodes", operation_id = "list_nodes",
    params(
        ("account_id" = i64, Path), ("id" = i64, Path, description = "The environment"),
        NodeFilters, Listing<NodeOrder>,
    ),
    responses((status = 200, description = "A page of nodes", body = Many<Node>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    Query(filters): Query<NodeFilters>,
    listing: Listing<NodeOrder>,
) -> Result<Many<Node>, Error> {
    let scope = Scope::of_environment(&mut view, environment).await?;
    page(view, filters, listing, scope).await
}

/// List the nodes of a run
///
/// As its newest manifests define them, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/nodes", tag = "Nodes", operation_id = "list_nodes_of_run",
    params(("account_id" = i64, Path), ("run_id" = i64, Path), NodeFilters, Listing<NodeOrder>),
    responses((status = 200, description = "A page of nodes", body = Many<Node>))
)]
pub(crate) async fn list_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    Query(filters): Query<NodeFilters>,
    listing: Listing<NodeOrder>,
) -> Result<Many<Node>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    page(view, filters, listing, scope).await
}
