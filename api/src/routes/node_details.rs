//! One node with all that is known of it: columns with their types in the warehouse, tests, what was last done, and code.

use std::collections::HashMap;

use edge::{CloudError, One, one};
use read_model::queries::{self, GraphNode, NodeFilter};
use read_model::{decode_doc, queries::Slice};
use schemas::{AccountId, CatalogColumn, CatalogNode, EnvironmentId, NodeResult, RunId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::nodes::Fields;
use super::scope::Scope;
use crate::error::Error;
use crate::format::iso_time;
use crate::view::{Ids, View};

/// A node with all that is known of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeDetails {
    unique_id: String,
    resource_type: String,
    /// As dbt wrote it into the manifest.
    node: Fields,
    /// The code with its Jinja: `raw_code`, before dbt 1.3 `raw_sql`.
    raw_code: Option<String>,
    /// The code that the warehouse got, of the newest manifest that has compiled code.
    compiled_code: Option<String>,
    /// As the node declares them and the warehouse has them, in the warehouse's order, then those that are declared only.
    columns: Vec<Column>,
    /// Of the newest catalog.
    catalog: Option<CatalogTable>,
    /// The nodes that it is made of.
    parents: Vec<String>,
    /// The nodes that are made of it, but tests.
    children: Vec<String>,
    /// The tests about it.
    tests: Vec<Test>,
    /// The last that was done to it.
    last_result: Option<LastResult>,
    /// The last that went well.
    last_success: Option<LastResult>,
}

/// A column.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeColumn)]
struct Column {
    name: String,
    description: Option<String>,
    /// The declared type.
    data_type: Option<String>,
    /// The type in the warehouse.
    catalog_type: Option<String>,
    /// Its place in the warehouse.
    index: Option<i64>,
    /// Whether the node declares it.
    is_declared: bool,
}

/// What the warehouse says of the table.
#[derive(Serialize, ToSchema)]
struct CatalogTable {
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(value_type = Option<Object>)]
    stats: Option<Box<RawValue>>,
}

/// A test about the node.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeTest)]
struct Test {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    last_result: Option<LastResult>,
}

/// What became of a node.
#[derive(Clone, Serialize, ToSchema)]
struct LastResult {
    /// In small letters.
    status: String,
    completed_at: String,
    /// The run that told of it.
    run_id: Option<i64>,
    message: Option<String>,
    /// Of a test: the rows that failed.
    failures: Option<i64>,
    rows_affected: Option<i64>,
    /// In seconds.
    execution_time: Option<f64>,
    thread_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    adapter_response: Option<Box<RawValue>>,
}

impl LastResult {
    fn new(row: &queries::NodeResult) -> Result<Self, Error> {
        let result = NodeResult::from_json(&decode_doc(&row.doc)?).unwrap_or_default();
        Ok(Self {
            status: row.status.clone(),
            completed_at: iso_time(row.at),
            run_id: row.run_id,
            message: result.message,
            failures: result.failures,
            rows_affected: result.rows_affected,
            execution_time: result.execution_time,
            thread_id: result.thread_id,
            adapter_response: result
                .adapter_response
                .and_then(|response| RawValue::from_string(response).ok()),
        })
    }
}

/// Shows a node of the newest manifest of an environment with all that is known of it.
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

/// Shows a node of the newest manifest of a run, and what the run did to it.
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
    let filter = NodeFilter {
        unique_id: Some(unique_id.clone()),
        ..NodeFilter::default()
    };
    let first = Slice { limit: 1, offset: 0 };
    let found = queries::nodes(view.connection(), account, node_set, &filter, first).await?;
    let row = found.rows.first().ok_or_else(CloudError::not_found)?;
    let node = Fields::new(row)?;
    let graph = queries::graph(view.connection(), account, node_set).await?;
    let is_test = |node: &GraphNode| node.resource_type == "test" || node.resource_type == "unit_test";
    let (tests, children): (Vec<&GraphNode>, Vec<&GraphNode>) = graph
        .iter()
        .filter(|other| other.depends_on.contains(&unique_id))
        .partition(|other| is_test(other));
    let ids: Vec<String> = [&unique_id]
        .into_iter()
        .chain(tests.iter().map(|test| &test.unique_id))
        .cloned()
        .collect();
    let last = last_results(&mut view, scope, &ids, false).await?;
    let mut success = last_results(&mut view, scope, &ids[..1], true).await?;
    let compiled = queries::compiled_code(
        view.connection(),
        account,
        scope.environment,
        scope.run,
        (&row.resource_type, &unique_id),
    )
    .await?;
    let compiled = compiled.map(|code| decode_doc(&code)).transpose()?;
    let entry = queries::catalog_entry(view.connection(), account, scope.environment, scope.run, &unique_id).await?;
    let entry = entry.map(|doc| decode_doc(&doc)).transpose()?;
    Ok(one(NodeDetails {
        resource_type: row.resource_type.clone(),
        raw_code: node.text("raw_code").or_else(|| node.text("raw_sql")),
        compiled_code: compiled.map(|code| String::from_utf8_lossy(&code).into_owned()),
        columns: columns(&node, entry.as_deref()),
        catalog: entry.as_deref().and_then(table),
        parents: graph
            .iter()
            .find(|other| other.unique_id == unique_id)
            .map(|node| node.depends_on.clone())
            .unwrap_or_default(),
        children: sorted(children.iter().map(|child| child.unique_id.clone()).collect()),
        tests: tests
            .iter()
            .map(|test| Test {
                unique_id: test.unique_id.clone(),
                resource_type: test.resource_type.clone(),
                name: test.name.clone(),
                last_result: last.get(&test.unique_id).cloned(),
            })
            .collect(),
        last_result: last.get(&unique_id).cloned(),
        last_success: success.remove(&unique_id),
        node,
        unique_id,
    }))
}

async fn last_results(
    view: &mut View,
    scope: &Scope,
    ids: &[String],
    succeeded: bool,
) -> Result<HashMap<String, LastResult>, Error> {
    let account = view.account();
    let rows = queries::last_results(view.connection(), account, scope.environment, scope.run, ids, succeeded).await?;
    rows.iter()
        .map(|row| Ok((row.unique_id.clone(), LastResult::new(row)?)))
        .collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

/// The declared columns of a node, as far as they are read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Declared {
    name: Option<String>,
    description: Option<String>,
    data_type: Option<String>,
}

/// Names are compared without regard to case: warehouses write them in letters of their own.
fn columns(node: &Fields, entry: Option<&[u8]>) -> Vec<Column> {
    let declared: HashMap<String, Box<RawValue>> = node
        .raw("columns")
        .and_then(|columns| serde_json::from_str(columns.get()).ok())
        .unwrap_or_default();
    let mut declared: Vec<(String, Declared)> = declared
        .into_iter()
        .map(|(key, column)| {
            let column: Declared = serde_json::from_str(column.get()).unwrap_or_default();
            (column.name.clone().unwrap_or(key), column)
        })
        .collect();
    declared.sort_by(|(one, _), (other, _)| one.cmp(other));
    let in_warehouse = entry.map(CatalogNode::columns_of).unwrap_or_default();
    let mut columns: Vec<Column> = Vec::new();
    for column in in_warehouse {
        let at = declared
            .iter()
            .position(|(name, _)| name.to_lowercase() == column.name.to_lowercase());
        columns.push(merged(column, at.map(|at| declared.remove(at).1)));
    }
    columns.extend(declared.into_iter().map(|(name, column)| Column {
        name,
        description: column.description,
        data_type: column.data_type,
        catalog_type: None,
        index: None,
        is_declared: true,
    }));
    columns
}

fn merged(column: CatalogColumn, declared: Option<Declared>) -> Column {
    let is_declared = declared.is_some();
    let declared = declared.unwrap_or_default();
    Column {
        name: column.name,
        description: declared.description.or(column.comment),
        data_type: declared.data_type,
        catalog_type: column.data_type,
        index: column.index,
        is_declared,
    }
}

fn table(entry: &[u8]) -> Option<CatalogTable> {
    let mut fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(entry).ok()?;
    Some(CatalogTable {
        metadata: fields.remove("metadata"),
        stats: fields.remove("stats"),
    })
}
