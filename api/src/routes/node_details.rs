//! A single node with everything known about it: columns with their warehouse types, tests, last results, and code.

use std::collections::HashMap;

use edge::{CloudError, One, one};
use read_model::decode_doc;
use read_model::queries::{self, Neighbour};
use schemas::{AccountId, EnvironmentId, RunId};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::columns::{Column, columns};
use super::nodes::Fields;
use super::outcomes::{Freshness, LastResult};
use super::scope::Scope;
use crate::error::Error;
use crate::view::{Ids, View};

/// A node with everything known about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeDetails {
    unique_id: String,
    resource_type: String,
    /// The node as dbt wrote it into the manifest.
    node: Fields,
    /// The code with its Jinja: `raw_code`, or `raw_sql` before dbt 1.3.
    raw_code: Option<String>,
    /// The compiled code that was sent to the warehouse, from the newest manifest that has it for this node.
    compiled_code: Option<String>,
    /// The columns of the warehouse in its order, then those that are only declared.
    columns: Vec<Column>,
    /// The node's entry in the newest catalog that lists it.
    catalog: Option<CatalogTable>,
    /// The nodes that it depends on.
    parents: Vec<String>,
    /// The nodes that depend on it, except tests.
    children: Vec<String>,
    /// The macros that it calls.
    macros: Vec<String>,
    /// The tests of this node: those that dbt attached to it, and unattached ones that depend on it.
    tests: Vec<Test>,
    /// Tests attached to other nodes that depend on this one, such as foreign key tests.
    related_tests: Vec<Test>,
    /// The last attempt, including `skipped` and `no-op`. For a source, its newest freshness check.
    last_result: Option<LastResult>,
    /// The last successful attempt, excluding skipped ones and those built with `--empty` or `--sample`.
    last_success: Option<LastResult>,
    /// The newest freshness check.
    freshness: Option<Freshness>,
}

/// What the warehouse reports about the table.
#[derive(Serialize, ToSchema)]
struct CatalogTable {
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(value_type = Option<Object>)]
    stats: Option<Box<RawValue>>,
}

/// A test of a node.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeTest)]
struct Test {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    /// The node to which dbt attached the test. Singular tests are attached to none, and test all nodes they depend on.
    attached_node: Option<String>,
    last_result: Option<LastResult>,
}

/// Shows a node of an environment's newest manifest with everything known about it.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/nodes/{unique_id}", tag = "Nodes", operation_id = "Retrieve Node",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path, description = "The environment"),
        ("unique_id" = String, Path, description = "dbt's id of the node, such as `model.shop.orders`"),
    ),
    responses((status = 200, body = One<NodeDetails>))
)]
pub(crate) async fn show(
    mut view: View,
    Ids((_, environment, unique_id)): Ids<(AccountId, EnvironmentId, String)>,
) -> Result<One<NodeDetails>, Error> {
    let scope = Scope::of_environment(&mut view, environment).await?;
    details(view, &scope, unique_id).await
}

/// Shows a node of a run's newest manifest, and what the run did to it.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/nodes/{unique_id}", tag = "Nodes", operation_id = "Retrieve Node of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("unique_id" = String, Path, description = "dbt's id of the node, such as `model.shop.orders`"),
    ),
    responses((status = 200, body = One<NodeDetails>))
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
    let found = queries::node(view.connection(), account, node_set, &unique_id).await?;
    let row = found.ok_or_else(CloudError::not_found)?;
    let node = Fields::new(&row)?;
    let neighbours = queries::neighbours(view.connection(), account, node_set, &unique_id).await?;
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
        // Freshness checks are all that dbt does to sources.
        let passed = last_freshness(&mut view, scope, &unique_id, true).await?;
        (
            freshness.as_ref().map(LastResult::of_source),
            passed.as_ref().map(LastResult::of_source),
        )
    } else {
        (attempts.get(&unique_id).cloned(), success.get(&unique_id).cloned())
    };
    let key = (row.resource_type.as_str(), unique_id.as_str());
    let compiled = queries::compiled_code(view.connection(), account, scope.environment, scope.run, key).await?;
    let macros = queries::called_macros(view.connection(), account, scope.environment, scope.run, key).await?;
    let entry = queries::catalog_entry(view.connection(), account, scope.environment, scope.run, &unique_id).await?;
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

/// Returns whether the test is a test of this node: attached to it, or attached to no existing node.
fn is_about(test: &Neighbour, unique_id: &str) -> bool {
    !test.has_attached_node || test.attached_node.as_deref() == Some(unique_id)
}

impl Test {
    fn new(test: &Neighbour, attempts: &HashMap<String, LastResult>) -> Self {
        Self {
            unique_id: test.unique_id.clone(),
            resource_type: test.resource_type.clone(),
            name: test.name.clone(),
            attached_node: test.attached_node.clone(),
            last_result: attempts.get(&test.unique_id).cloned(),
        }
    }
}

async fn last_attempts(
    view: &mut View,
    scope: &Scope,
    ids: &[String],
    succeeded: bool,
) -> Result<HashMap<String, LastResult>, Error> {
    let account = view.account();
    let rows = queries::last_attempts(view.connection(), account, scope.environment, scope.run, ids, succeeded).await?;
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
    let found = queries::last_freshness(
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
