//! The nodes of the newest manifest of an environment or a run. dbt Cloud has no such routes.

use std::collections::BTreeMap;
use std::fmt::Display;

use edge::{Many, OrderBy, Paging, Params, many};
use read_model::decode_doc;
use read_model::queries::{self, NodeFilter, Page, Slice};
use schemas::{AccountId, EnvironmentId, RunId, Sha256};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::scope::Scope;
use crate::error::Error;
use crate::list::{Filters, slice};
use crate::view::{Ids, View};

/// A node as dbt wrote it into the manifest, without the fields that change at every parse.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct Node(Box<RawValue>);

impl Node {
    fn new(row: &queries::Node) -> Result<Self, Error> {
        let doc = decode_doc(&row.doc)?;
        let present: Present = serde_json::from_slice(&doc).map_err(|error| unreadable(row, &error))?;
        let whole = if present.unique_id.is_some() && present.resource_type.is_some() {
            let text = String::from_utf8(doc).map_err(|error| unreadable(row, &error))?;
            RawValue::from_string(text)
        } else {
            to_raw_value(&Fields::new(row)?)
        };
        whole.map(Self).map_err(|error| unreadable(row, &error))
    }
}

fn unreadable(row: &queries::Node, error: &dyn Display) -> Error {
    Error::unreadable(&format_args!(
        "the stored node `{}` is not a JSON object: {error}",
        row.unique_id
    ))
}

/// The fields that every node is shown with, if its stored definition has them.
#[derive(Deserialize)]
struct Present {
    unique_id: Option<IgnoredAny>,
    resource_type: Option<IgnoredAny>,
}

/// A node as a map of its fields.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    pub(super) fn new(row: &queries::Node) -> Result<Self, Error> {
        let doc = decode_doc(&row.doc)?;
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&doc).map_err(|error| unreadable(row, &error))?;
        // Old versions of dbt wrote nodes without these fields.
        for (name, value) in [("unique_id", &row.unique_id), ("resource_type", &row.resource_type)] {
            if !fields.contains_key(name) {
                let value = to_raw_value(value).map_err(|error| unreadable(row, &error))?;
                fields.insert(name.to_owned(), value);
            }
        }
        Ok(Self(fields))
    }

    /// Returns a field as it is in the manifest; none if it is absent or null.
    pub(super) fn raw(&self, key: &str) -> Option<&RawValue> {
        self.0.get(key).map(AsRef::as_ref).filter(|value| value.get() != "null")
    }

    /// Returns a text field; none if it is absent or not a text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }
}

async fn page(mut view: View, params: &Params, scope: Scope) -> Result<Many<Node>, Error> {
    let account = view.account();
    let (paging, order) = (Paging::read(params)?, OrderBy::read(params, &["unique_id"])?);
    let mut filters = Filters::new(params, account);
    let filter = NodeFilter {
        resource_type: filters.text("resource_type"),
        name_contains: filters.text("name__icontains"),
        unique_id: filters.text("unique_id"),
    };
    let Some(node_set) = scope.node_set else {
        return Ok(many(Vec::new(), 0, paging, &order, filters.applied()));
    };
    let page = if order.descending {
        from_the_end(&mut view, node_set, &filter, paging).await?
    } else {
        queries::nodes(view.connection(), account, node_set, &filter, slice(paging)).await?
    };
    let nodes = page.rows.iter().map(Node::new).collect::<Result<_, _>>()?;
    Ok(many(nodes, page.total, paging, &order, filters.applied()))
}

/// Reads a page in descending order. The nodes are stored in ascending order, so the page is counted from the end and reversed.
async fn from_the_end(
    view: &mut View,
    node_set: Sha256,
    filter: &NodeFilter,
    paging: Paging,
) -> Result<Page<queries::Node>, Error> {
    let account = view.account();
    let first = Slice { limit: 1, offset: 0 };
    let total = queries::nodes(view.connection(), account, node_set, filter, first)
        .await?
        .total;
    let end = total.saturating_sub(paging.offset).max(0);
    let offset = end.saturating_sub(paging.limit).max(0);
    let limit = end - offset;
    let mut rows = Vec::new();
    if limit > 0 {
        let slice = Slice { limit, offset };
        rows = queries::nodes(view.connection(), account, node_set, filter, slice)
            .await?
            .rows;
        rows.reverse();
    }
    Ok(Page { rows, total })
}

/// Lists the nodes of the newest manifest of an environment, by `unique_id`.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/environments/{id}/nodes", tag = "Nodes", operation_id = "List Nodes",
    params(
        ("account_id" = i64, Path),
        ("id" = i64, Path, description = "The environment"),
        ("resource_type" = Option<String>, Query, description = "Only nodes of this type, such as `model`"),
        ("name__icontains" = Option<String>, Query, description = "Only nodes whose name contains this, ignoring case"),
        ("unique_id" = Option<String>, Query, description = "Only the node with this id"),
        ("order_by" = Option<String>, Query, description = "`unique_id`; a leading `-` reverses the order"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Node>))
)]
pub(crate) async fn list(
    mut view: View,
    Ids((_, environment)): Ids<(AccountId, EnvironmentId)>,
    params: Params,
) -> Result<Many<Node>, Error> {
    let scope = Scope::of_environment(&mut view, environment).await?;
    page(view, &params, scope).await
}

/// Lists the nodes of the newest manifest of a run, by `unique_id`, with the filters of an environment's nodes.
#[utoipa::path(
    get, path = "/api/v2/accounts/{account_id}/runs/{run_id}/nodes", tag = "Nodes", operation_id = "List Nodes of a run",
    params(
        ("account_id" = i64, Path),
        ("run_id" = i64, Path),
        ("resource_type" = Option<String>, Query, description = "Only nodes of this type, such as `model`"),
        ("limit" = Option<i64>, Query, description = "The number of items to return, at most 100"),
        ("offset" = Option<i64>, Query, description = "The number of items to skip"),
    ),
    responses((status = 200, body = Many<Node>))
)]
pub(crate) async fn list_of_run(
    mut view: View,
    Ids((_, run)): Ids<(AccountId, RunId)>,
    params: Params,
) -> Result<Many<Node>, Error> {
    let scope = Scope::of_run(&mut view, run).await?;
    page(view, &params, scope).await
}
