//! What the warehouse has: tables and their columns.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::Read;
use super::definition::text_json;
use crate::doc::Doc;
use crate::facts::{Catalog, Facts, Object, Value};
use crate::needs::Needs;

pub(super) fn field(field: &str) -> Option<(Needs, Read)> {
    let needs = Needs::CATALOG;
    Some(match field {
        "catalog" => (needs.and(Needs::DEFINITION), table),
        // Only what the warehouse has: clients take these columns for the table's, with types.
        "columns" => (needs.and(Needs::DEFINITION), |facts| {
            let catalog = facts.catalog.as_ref();
            catalog.map_or(Value::Null, |catalog| columns(catalog, &facts.doc))
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
    Value::Object(Object::new(move |field| match field {
        "bytesStat" => Value::of_int(stat(catalog, &["bytes", "num_bytes", "size"])),
        "columns" => columns(catalog, &facts.doc),
        "comment" | "owner" | "type" => of_metadata(facts, field),
        "environmentId" => Value::Int(scope.environment.0),
        "jobDefinitionId" => Value::of_int(scope.run.and(scope.job)),
        "rowCountStat" => Value::of_int(stat(catalog, &["row_count", "num_rows", "rows"])),
        "runGeneratedAt" => Value::Time(catalog.generated_at),
        "runId" => Value::of_int(catalog.run_id),
        "stats" => Value::Json(stats(catalog)),
        "uniqueId" => Value::of_str(Some(&facts.node.unique_id)),
        _ => Value::Null,
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

/// A column of the warehouse, with what the node says of it.
struct Column<'f> {
    name: Cow<'f, str>,
    in_warehouse: Doc<'f>,
    declared: Option<Doc<'f>>,
}

/// The columns of the warehouse in its order.
///
/// Columns with exactly the same name are matched first. The rest are matched ignoring case, since some warehouses change the case of names.
fn columns<'f>(catalog: &Catalog<'f>, definition: &Doc<'f>) -> Value<'f> {
    let named = |doc: &Doc<'f>| {
        let entries = doc.entries("columns").into_iter();
        entries
            .map(|(key, column)| (column.text("name").unwrap_or(key), column))
            .collect()
    };
    let mut declared: Vec<(Cow<'f, str>, Doc<'f>)> = named(definition);
    let mut in_warehouse: Vec<(Cow<'f, str>, Doc<'f>)> = named(&catalog.doc);
    in_warehouse.sort_by_cached_key(|(_, column)| column.integer("index"));
    let mut columns: Vec<Column<'f>> = in_warehouse
        .into_iter()
        .map(|(name, in_warehouse)| {
            let at = declared.iter().position(|(other, _)| *other == name);
            Column {
                name,
                in_warehouse,
                declared: at.map(|at| declared.remove(at).1),
            }
        })
        .collect();
    for column in &mut columns {
        if column.declared.is_none() && !declared.is_empty() {
            let name = column.name.to_lowercase();
            let at = declared.iter().position(|(other, _)| other.to_lowercase() == name);
            column.declared = at.map(|at| declared.remove(at).1);
        }
    }
    Value::Objects(
        columns
            .into_iter()
            .map(|column| Object::new(move |field| column.field(field)))
            .collect(),
    )
}

impl<'f> Column<'f> {
    fn field(&self, field: &str) -> Value<'f> {
        let declared = self.declared.as_ref();
        match field {
            "name" => Value::Text(self.name.clone()),
            "index" => Value::of_int(self.in_warehouse.integer("index")),
            "type" | "comment" => Value::of_text(self.in_warehouse.text(field)),
            "description" => Value::of_text(declared.and_then(|declared| declared.text("description"))),
            "meta" => Value::Json(
                Some(self.configured("meta"))
                    .filter(Json::is_object)
                    .unwrap_or_default(),
            ),
            "tags" => Value::Json(Some(self.configured("tags")).filter(Json::is_array).unwrap_or_default()),
            _ => Value::Null,
        }
    }

    /// What the node says of the column itself, or else in its configuration.
    fn configured(&self, key: &str) -> Json {
        let Some(declared) = &self.declared else {
            return Json::Null;
        };
        let own = declared.json(key);
        let is_empty = own.is_null() || own == json!([]) || own == json!({});
        match declared.object("config").filter(|_| is_empty) {
            Some(config) if config.raw(key).is_some() => config.json(key),
            _ => own,
        }
    }
}
