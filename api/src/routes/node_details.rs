//! One node with everything that is known about it: columns with their types in the warehouse, tests, results, and code.

use std::collections::HashMap;

use edge::{CloudError, One, one};
use read_model::doc::decode_doc;
use read_model::queries;
use read_model::queries::graph::Neighbour;
use schemas::{AccountId, EnvironmentId, RunId};
use serde_json::value::RawValue;

use super::scope::Scope;
use crate::error::Error;
use crate::resources::column::columns;
use crate::resources::node::Fields;
use crate::resources::node_details::{CatalogTable, NodeDetails, Test};
use crate::resources::outcome::{Freshness, LastResult};
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
    let scope = Scope::of_environment(&mut view, environment).await?;
    details(view, &scope, unique_id).await
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
    details(view, &scope, unique_id).await
}

async fn details(mut view: View, scope: &Scope, unique_id: String) -> Result<One<NodeDetails>, Error> {
    let (account, node_set) = (view.account(), scope.nodes()?);
    let found = queries::nodes::node(view.connection(), account, node_set, &unique_id).await?;
    let row = found.ok_or_else(CloudError::not_found)?;
    let node = Fields::new(&row)?;
    let neighbours = queries::graph::neighbours(view.connection(), account, node_set, &unique_id).await?;
    let is_test = |node: &Neighbour| node.resource_type == "test" || node.resource_type == "unit_test";
    let (tests, children): (Vec<&Neighbour>, Vec<&Neighbour>) = neighbours
        .iter()
        .filter(|other| other.unique_id != unique_id)
        .partition(|other| is_test(other));
    let (about, related): (Vec<&Neighbour>, Vec<&Neighbour>) =
        tests.iter().partition(|test| is_about(test, &unique_id));
    let ids: Vec<String> = [&unique_id]
        .into_iter()
        .chain(tests.iter().map(|test| &test.unique_id))
        .cloned()
        .collect();
    let attempts = last_attempts(&mut view, scope, &ids, false).await?;
    let success = last_attempts(&mut view, scope, &ids[..1], true).await?;
    let freshness = last_freshness(&mut view, scope, &unique_id, false).await?;
    let (last_result, last_success) = if row.resource_type == "source" {
        // dbt does nothing else to sources.
        let passed = last_freshness(&mut view, scope, &unique_id, true).await?;
        (
            freshness.as_ref().map(LastResult::of_source),
            passed.as_ref().map(LastResult::of_source),
        )
    } else {
        (attempts.get(&unique_id).cloned(), success.get(&unique_id).cloned())
    };
    let key = (row.resource_type.as_str(), unique_id.as_str());
    let compiled =
        queries::aspects::compiled_code(view.connection(), account, scope.environment, scope.run, key).await?;
    let macros = queries::aspects::called_macros(view.connection(), account, scope.environment, scope.run, key).await?;
    let entry =
        queries::aspects::catalog_entry(view.connection(), account, scope.environment, scope.run, &unique_id).await?;
    let entry = entry.map(|doc| decode_doc(&doc)).transpose()?;
    let shown = |tests: &[&Neighbour]| tests.iter().map(|test| Test::new(test, &attempts)).collect();
    Ok(one(NodeDetails {
        resource_type: row.resource_type.clone(),
        raw_code: node.text("raw_code").or_else(|| node.text("raw_sql")),
        compiled_code: text(compiled)?,
        columns: columns(&node, entry.as_deref()),
        catalog: entry.as_deref().and_then(table),
        parents: neighbours
            .iter()
            .find(|other| other.unique_id == unique_id)
            .map(|node| node.depends_on.clone())
            .unwrap_or_default(),
        children: children.iter().map(|child| child.unique_id.clone()).collect(),
        macros: text(macros)?
            .and_then(|macros| serde_json::from_str(&macros).ok())
            .unwrap_or_default(),
        tests: shown(&about),
        related_tests: shown(&related),
        last_result,
        last_success,
        freshness,
        node,
        unique_id,
    }))
}

/// A test belongs to the node that it is attached to; if that is not there, to the nodes that it depends on.
fn is_about(test: &Neighbour, unique_id: &str) -> bool {
    !test.has_attached_node || test.attached_node.as_deref() == Some(unique_id)
}

async fn last_attempts(
    view: &mut View,
    scope: &Scope,
    ids: &[String],
    succeeded: bool,
) -> Result<HashMap<String, LastResult>, Error> {
    let account = view.account();
    let rows =
        queries::results::last_attempts(view.connection(), account, scope.environment, scope.run, ids, succeeded)
            .await?;
    rows.iter()
        .map(|row| Ok((row.unique_id.clone(), LastResult::new(row)?)))
        .collect()
}

async fn last_freshness(
    view: &mut View,
    scope: &Scope,
    unique_id: &str,
    passed: bool,
) -> Result<Option<Freshness>, Error> {
    let account = view.account();
    let found = queries::results::last_freshness(
        view.connection(),
        account,
        scope.environment,
        scope.run,
        unique_id,
        passed,
    )
    .await?;
    found.map(|check| Freshness::new(&check)).transpose()
}

fn text(doc: Option<Vec<u8>>) -> Result<Option<String>, Error> {
    let text = doc.map(|doc| decode_doc(&doc)).transpose()?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

fn table(entry: &[u8]) -> Option<CatalogTable> {
    let mut fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(entry).ok()?;
    Some(CatalogTable {
        metadata: fields.remove("metadata"),
        stats: fields.remove("stats"),
    })
}
