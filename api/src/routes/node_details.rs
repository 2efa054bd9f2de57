//! One node with everything that is known about it: columns with their types in the warehouse, tests, results, and code.

use edge::{One, one};
use schemas::{AccountId, EnvironmentId, RunId};

use super::scope::Scope;
use crate::error::Error;
use crate::node::{NodeDetails, details, of_environment};
use crate::view::{Ids, View};

/// Retrieve a node of an environment
///
/// As the newest manifests define it, with everything that is known about it.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/nodes/{unique_id}", tag = "Nodes", operation_id = "retrieve_node",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path, description = "The environment"),
        ("unique_id" = String, Path, description = "dbt's id of the node, such as `model.shop.orders`"),
    ),
    responses((status = 200, description = "The node", body = One<NodeDetails>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((_, environment, unique_id)): Ids<(AccountId, EnvironmentId, String)>,
) -> Result<One<NodeDetails>, Error> {
    Ok(one(of_environment(&mut view, environment, unique_id).await?))
}

/// Retrieve a node of a run
///
/// As the run's newest manifests define it, and what the run did to it.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/nodes/{unique_id}", tag = "Nodes", operation_id = "retrieve_node_of_run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("unique_id" = String, Path, description = "dbt's id of the node, such as `model.shop.orders`"),
    ),
    responses((status = 200, description = "The node", body = One<NodeDetails>))
)]
pub(crate) async fn show_of_run(
    mut view: View,
    Ids((_, run, unique_id)): Ids<(AccountId, RunId, String)>,
) -> Result<One<NodeDetails>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    Ok(one(details(&mut view, &scope, unique_id).await?))
}
