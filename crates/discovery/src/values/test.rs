//! Fields of data tests and unit tests.

use serde_json::json;

use super::definition::text_json;
use super::{Read, unknown};
use crate::facts::{Facts, Value};
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    if !type_name.starts_with("Test") || type_name.ends_with("LineageNode") {
        return None;
    }
    Some(match field {
        "columnName" => (Needs::DEFINITION, |facts| facts.text("column_name")),
        // dbt's name for results that it sends elsewhere; it writes none into its files.
        "eventStatus" => (Needs::NOTHING, unknown),
        "expect" => (Needs::DEFINITION, |facts| Value::of_raw(facts.doc.raw_object("expect"))),
        "given" => (Needs::DEFINITION, |facts| {
            let given = facts.doc.raw("given");
            Value::of_raw(given.filter(|given| given.get().starts_with('[')))
        }),
        "lastKnownResult" => (Needs::RESULTS, |facts| Value::of_str(facts.last_known_result)),
        "model" => (Needs::DEFINITION, |facts| facts.text("model")),
        "numExpectRows" => (Needs::DEFINITION, |facts| {
            let expect = facts.doc.object("expect");
            Value::of_int(expect.and_then(|expect| rows(&expect.json("rows"))))
        }),
        "numGiven" => (Needs::DEFINITION, |facts| {
            Value::of_int(
                facts
                    .doc
                    .json("given")
                    .as_array()
                    .and_then(|given| i64::try_from(given.len()).ok()),
            )
        }),
        "numGivenRows" => (Needs::DEFINITION, |facts| {
            let given = facts.doc.json("given");
            let rows = given
                .as_array()
                .map(|given| given.iter().filter_map(|input| rows(&input["rows"])).sum());
            Value::of_int(rows)
        }),
        "overrides" => (Needs::DEFINITION, |facts| {
            Value::of_raw(facts.doc.raw_object("overrides"))
        }),
        "resource" => (Needs::NOTHING, |facts| Value::of_str(Some(&facts.node.resource_type))),
        "testMetadata" => (Needs::DEFINITION, metadata),
        "testType" => (Needs::DEFINITION, |facts| {
            let is_generic = facts.doc.object("test_metadata").is_some();
            Value::of_str(Some(test_type(&facts.node.resource_type, is_generic)))
        }),
        "testedNodeUniqueId" => (Needs::DEFINITION, tested_node),
        "thisInputNodeUniqueId" => (Needs::DEFINITION, |facts| facts.text("this_input_node_unique_id")),
        _ => return None,
    })
}

/// The word of the schema's `TestType` for a test.
pub(crate) fn test_type(resource_type: &str, is_generic: bool) -> &'static str {
    match (resource_type, is_generic) {
        ("unit_test", _) => "UNIT_TEST",
        (_, true) => "GENERIC_DATA_TEST",
        (_, false) => "SINGULAR_DATA_TEST",
    }
}

fn metadata<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let Some(metadata) = facts.doc.object("test_metadata") else {
        return Value::Null;
    };
    let kwargs = metadata.json("kwargs");
    let column = kwargs["column_name"].clone();
    Value::Json(json!({
        "name": text_json(&metadata, "name"),
        "namespace": text_json(&metadata, "namespace"),
        "columnName": if column.is_string() { column } else { text_json(&facts.doc, "column_name") },
        "kwargs": if kwargs.is_object() { kwargs } else { serde_json::Value::Null },
    }))
}

fn rows(rows: &serde_json::Value) -> Option<i64> {
    rows.as_array().and_then(|rows| i64::try_from(rows.len()).ok())
}

fn tested_node<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let attached = facts
        .doc
        .text("tested_node_unique_id")
        .or_else(|| facts.doc.text("attached_node"));
    if attached.is_some() {
        return Value::of_text(attached);
    }
    // Singular tests are about all that they depend on.
    match facts.scope.graph.depends_on(facts.node).as_slice() {
        [only] => Value::Text(only.clone().into()),
        _ => Value::Null,
    }
}
