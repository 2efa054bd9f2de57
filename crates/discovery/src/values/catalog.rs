//! What the warehouse has: tables and their columns.

use std::borrow::Cow;

use artifacts::{CatalogColumn, CatalogNode};
use serde_json::{Value as Json, json};

use super::Read;
use super::definition::text_json;
use crate::doc::Doc;
use crate::facts::{Catalog, Facts, Value, time_json};
use crate::needs::Needs;

pub(super) fn field(field: &str) -> Option<(Needs, Read)> {
    let needs = Needs::CATALOG;
    Some(match field {
        "catalog" => (needs.and(Needs::DEFINITION), table),
        // Only what the warehouse has: clients take these columns for the table's, with types.
        "columns" => (needs.and(Needs::DEFINITION), |facts| {
            let catalog = facts.catalog.as_ref();
            catalog.map_or(Value::Null, |catalog| Value::Json(columns(catalog, declared(facts))))
        }),
        "comment" => (needs, |facts| of_metadata(facts, "comment")),
        "owner" => (needs, |facts| of_metadata(facts, "owner")),
        "stats" => (needs, |facts| {
            Value::Json(facts.catalog.as_ref().map_or(json!([]), stats))
        }),
        "type" => (needs, |facts| of_metadata(facts, "type")),
        _ => return None,
    })
}

fn of_metadata<'f>(facts: &'f Facts<'f>, key: &str) -> Value<'f> {
    let metadata = facts
        .catalog
        .as_ref()
        .and_then(|catalog| catalog.doc.object("metadata"));
    Value::of_text(metadata.and_then(|metadata| metadata.text(key)))
}

/// The table with its columns. Null for a node that no catalog lists, even if it declares columns: clients fail at columns without types.
fn table<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let Some(catalog) = &facts.catalog else {
        return Value::Null;
    };
    let scope = facts.scope;
    let metadata = catalog.doc.object("metadata").unwrap_or_default();
    Value::Json(json!({
        "bytesStat": stat(catalog, &["bytes", "num_bytes", "size"]),
        "columns": columns(catalog, declared(facts)),
        "comment": text_json(&metadata, "comment"),
        "environmentId": scope.environment.0,
        "jobDefinitionId": scope.run.and(scope.job),
        "owner": text_json(&metadata, "owner"),
        "rowCountStat": stat(catalog, &["row_count", "num_rows", "rows"]),
        "runGeneratedAt": time_json(Some(catalog.generated_at)),
        "runId": catalog.run_id,
        "stats": stats(catalog),
        "type": text_json(&metadata, "type"),
        "uniqueId": facts.node.node.unique_id,
    }))
}

/// A statistic that some adapters report as a whole number. They name it differently.
fn stat(catalog: &Catalog<'_>, names: &[&str]) -> Option<i64> {
    let stats = catalog.doc.object("stats")?;
    names.iter().find_map(|name| {
        let value = stats.object(name)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a statistic of a table is far below the limit"
        )]
        value
            .integer("value")
            .or_else(|| value.number("value").map(|value| value as i64))
    })
}

fn stats(catalog: &Catalog<'_>) -> Json {
    let stats = catalog.doc.entries("stats").into_iter().map(|(id, stat)| {
        json!({
            "id": stat.text("id").unwrap_or(id),
            "label": text_json(&stat, "label"),
            "value": stat.json("value"),
            "include": stat.json("include"),
            "description": text_json(&stat, "description"),
        })
    });
    stats.collect()
}

type Declared<'f> = Vec<(Cow<'f, str>, Doc<'f>)>;

/// The columns that the node declares, in the order of dbt.
fn declared<'f>(facts: &Facts<'f>) -> Declared<'f> {
    let columns = facts.doc.entries("columns").into_iter();
    columns
        .map(|(key, column)| (column.text("name").unwrap_or(key), column))
        .collect()
}

/// The columns of the warehouse in its order, with what the node says of them.
///
/// Columns with exactly the same name are matched first. The rest are matched ignoring case, since some warehouses change the case of names.
fn columns(catalog: &Catalog<'_>, mut declared: Declared<'_>) -> Json {
    let in_warehouse = CatalogNode::columns_of(catalog.json.as_bytes());
    let mut matched: Vec<Option<Doc<'_>>> = Vec::with_capacity(in_warehouse.len());
    for column in &in_warehouse {
        let at = declared.iter().position(|(name, _)| *name == column.name);
        matched.push(at.map(|at| declared.remove(at).1));
    }
    for (column, found) in in_warehouse.iter().zip(&mut matched) {
        if found.is_none() && !declared.is_empty() {
            let name = column.name.to_lowercase();
            let at = declared.iter().position(|(other, _)| other.to_lowercase() == name);
            *found = at.map(|at| declared.remove(at).1);
        }
    }
    let columns = in_warehouse.iter().zip(&matched);
    columns
        .map(|(column, declared)| column_json(column, declared.as_ref()))
        .collect()
}

fn column_json(column: &CatalogColumn, declared: Option<&Doc<'_>>) -> Json {
    let config = declared.and_then(|declared| declared.object("config"));
    let of_either = |key: &str| -> Json {
        let own = declared.map(|declared| declared.json(key)).unwrap_or_default();
        let is_empty = own.is_null() || own == json!([]) || own == json!({});
        match &config {
            Some(config) if is_empty && config.raw(key).is_some() => config.json(key),
            _ => own,
        }
    };
    let tags = of_either("tags");
    json!({
        "name": column.name,
        "index": column.index,
        "type": column.data_type,
        "comment": column.comment,
        "description": declared.map_or(Json::Null, |declared| text_json(declared, "description")),
        "meta": of_either("meta"),
        "tags": if tags.is_array() { tags } else { json!([]) },
    })
}
