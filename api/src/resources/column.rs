//! The columns of a node: as it declares them, and as the warehouse has them.

use std::collections::HashMap;

use artifacts::{CatalogColumn, CatalogNode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::node::Fields;

/// A column that the node declares, that the newest catalog lists, or both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeColumn)]
pub struct Column {
    /// The name, in the letter case of the warehouse if it has the column.
    pub name: String,
    /// The description, or else the comment in the warehouse.
    pub description: Option<String>,
    /// The declared type.
    pub data_type: Option<String>,
    /// The type in the warehouse.
    pub catalog_type: Option<String>,
    /// Its position in the table of the warehouse.
    pub index: Option<i64>,
    /// Whether the node declares it.
    pub is_declared: bool,
}

/// A declared column, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Declared {
    name: Option<String>,
    description: Option<String>,
    data_type: Option<String>,
}

/// The columns of the warehouse in its order, then those that are only declared.
///
/// Columns with exactly the same name are matched first. The rest are matched ignoring case, since some warehouses change the case of names.
pub(crate) fn columns(node: &Fields, entry: Option<&[u8]>) -> Vec<Column> {
    let mut declared = declared(node);
    let in_warehouse = entry.map(CatalogNode::columns_of).unwrap_or_default();
    let mut matches: Vec<Option<Declared>> = Vec::new();
    for column in &in_warehouse {
        let at = declared.iter().position(|(name, _)| *name == column.name);
        matches.push(at.map(|at| declared.remove(at).1));
    }
    for (column, found) in in_warehouse.iter().zip(&mut matches) {
        if found.is_none() {
            let name_of = |name: &str| name.to_lowercase();
            let at = declared
                .iter()
                .position(|(name, _)| name_of(name) == name_of(&column.name));
            *found = at.map(|at| declared.remove(at).1);
        }
    }
    let mut columns: Vec<Column> = in_warehouse
        .into_iter()
        .zip(matches)
        .map(|(column, declared)| merged(column, declared))
        .collect();
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

/// The declared columns, sorted by name.
fn declared(node: &Fields) -> Vec<(String, Declared)> {
    let columns: HashMap<String, Box<RawValue>> = node
        .raw("columns")
        .and_then(|columns| serde_json::from_str(columns.get()).ok())
        .unwrap_or_default();
    let mut columns: Vec<(String, Declared)> = columns
        .into_iter()
        .map(|(key, column)| {
            let column: Declared = serde_json::from_str(column.get()).unwrap_or_default();
            (column.name.clone().unwrap_or(key), column)
        })
        .collect();
    columns.sort_by(|(one, _), (other, _)| one.cmp(other));
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
