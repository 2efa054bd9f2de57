//! What nodes define, whatever their kind.

use serde_json::{Map, json};

use super::Read;
use crate::doc::Doc;
use crate::facts::{Facts, Value};
use crate::needs::Needs;

pub(super) fn field(field: &str) -> Option<(Needs, Read)> {
    Some(match field {
        "arguments" => (Needs::DEFINITION, arguments),
        "config" => (Needs::DEFINITION, |facts| Value::of_raw(facts.doc.raw_object("config"))),
        "description" => (Needs::DEFINITION, |facts| facts.text("description")),
        "exposureType" => (Needs::DEFINITION, |facts| facts.text("type")),
        "identifier" => (Needs::DEFINITION, |facts| {
            facts.first_text(&["identifier", "alias", "name"])
        }),
        "label" => (Needs::DEFINITION, |facts| facts.text("label")),
        "loader" => (Needs::DEFINITION, |facts| facts.text("loader")),
        "macroSql" => (Needs::DEFINITION, |facts| facts.text("macro_sql")),
        "maturity" => (Needs::DEFINITION, |facts| facts.text("maturity")),
        "ownerEmail" => (Needs::DEFINITION, |facts| of_owner(facts, "email")),
        "ownerName" => (Needs::DEFINITION, |facts| of_owner(facts, "name")),
        "relationName" => (Needs::DEFINITION, |facts| facts.text("relation_name")),
        "sourceDescription" => (Needs::DEFINITION, |facts| facts.text("source_description")),
        "sourceName" => (Needs::DEFINITION, |facts| facts.text("source_name")),
        "url" => (Needs::DEFINITION, |facts| facts.text("url")),
        _ => return None,
    })
}

fn of_owner<'f>(facts: &'f Facts<'f>, key: &str) -> Value<'f> {
    let owner = facts.doc.object("owner").unwrap_or_default();
    // dbt allows a list of addresses.
    let first = |key: &str| owner.texts(key).and_then(|texts| texts.into_iter().next());
    Value::of_text(first(key))
}

fn arguments<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let arguments = facts.doc.objects("arguments");
    let arguments = arguments.iter().map(|argument| {
        picked(
            argument,
            &[("name", "name"), ("type", "type"), ("description", "description")],
        )
    });
    Value::Json(arguments.collect())
}

/// An object with some fields of another, under the names of the schema.
pub(super) fn picked(of: &Doc<'_>, fields: &[(&str, &str)]) -> serde_json::Value {
    let mut object = Map::new();
    for (name, key) in fields {
        object.insert((*name).to_owned(), of.json(key));
    }
    object.into()
}

/// A text as a JSON value.
pub(super) fn text_json(of: &Doc<'_>, key: &str) -> serde_json::Value {
    of.text(key).map_or(serde_json::Value::Null, |text| json!(text))
}
