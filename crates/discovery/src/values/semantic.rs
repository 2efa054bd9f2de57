//! What metrics, semantic models, saved queries and groups have.

use serde_json::json;

use super::definition::{picked, text_json};
use super::{Read, unknown};
use crate::facts::{Facts, Value};
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    let is_metric = type_name.starts_with("Metric");
    Some(match field {
        "calculation_method" => (Needs::DEFINITION, |facts| facts.text("calculation_method")),
        "dimensions" if is_metric => (Needs::DEFINITION, |facts| {
            Value::of_texts(facts.doc.texts("dimensions").unwrap_or_default())
        }),
        "dimensions" => (Needs::DEFINITION, |facts| {
            list(
                facts,
                "dimensions",
                &[
                    ("name", "name"),
                    ("type", "type"),
                    ("description", "description"),
                    ("expr", "expr"),
                    ("typeParams", "type_params"),
                ],
            )
        }),
        "entities" => (Needs::DEFINITION, |facts| {
            list(
                facts,
                "entities",
                &[
                    ("name", "name"),
                    ("type", "type"),
                    ("description", "description"),
                    ("expr", "expr"),
                ],
            )
        }),
        "exports" => (Needs::DEFINITION, exports),
        "expression" => (Needs::DEFINITION, |facts| facts.first_text(&["expression", "sql"])),
        "filter" => (Needs::DEFINITION, |facts| Value::of_raw(facts.doc.raw_object("filter"))),
        "filters" => (Needs::DEFINITION, |facts| {
            list(
                facts,
                "filters",
                &[("field", "field"), ("operator", "operator"), ("value", "value")],
            )
        }),
        // dbt Cloud writes derived metrics as formulas; dbt writes their inputs.
        "formula" | "environmentName" => (Needs::NOTHING, unknown),
        "measures" => (Needs::DEFINITION, |facts| {
            list(
                facts,
                "measures",
                &[
                    ("name", "name"),
                    ("agg", "agg"),
                    ("description", "description"),
                    ("expr", "expr"),
                    ("createMetric", "create_metric"),
                ],
            )
        }),
        "modelCount" => (Needs::ATTRIBUTES, |facts| {
            Value::of_int(i64::try_from(facts.scope.graph.models_of_group(facts.node).count()).ok())
        }),
        "queryParams" => (Needs::DEFINITION, query_params),
        "sql" if is_metric => (Needs::DEFINITION, |facts| facts.first_text(&["sql", "expression"])),
        "timeGrains" => (Needs::DEFINITION, |facts| {
            facts.doc.texts("time_grains").map_or(Value::Null, Value::of_texts)
        }),
        "timestamp" => (Needs::DEFINITION, |facts| facts.text("timestamp")),
        "type" if is_metric => (Needs::DEFINITION, |facts| facts.text("type")),
        "typeParams" => (Needs::DEFINITION, |facts| {
            Value::of_raw(facts.doc.raw_object("type_params"))
        }),
        _ => return None,
    })
}

fn list<'f>(facts: &'f Facts<'f>, key: &str, fields: &[(&str, &str)]) -> Value<'f> {
    Value::Json(facts.doc.objects(key).iter().map(|item| picked(item, fields)).collect())
}

fn exports<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let exports = facts.doc.objects("exports");
    let exports = exports.iter().map(|export| {
        let config = export.object("config").unwrap_or_default();
        json!({
            "name": text_json(export, "name"),
            "config": {
                "alias": text_json(&config, "alias"),
                "database": text_json(&config, "database"),
                "exportAs": text_json(&config, "export_as"),
                "schema": config.text("schema_name").or_else(|| config.text("schema")),
            },
        })
    });
    Value::Json(exports.collect())
}

fn query_params<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let params = facts.doc.object("query_params").unwrap_or_default();
    let filters = params.object("where").map(|filter| {
        let filters = filter.objects("where_filters");
        let filters = filters
            .iter()
            .map(|one| json!({ "whereSqlTemplate": text_json(one, "where_sql_template") }));
        json!({ "whereFilters": filters.collect::<serde_json::Value>() })
    });
    Value::Json(json!({
        "groupBy": params.texts("group_by").unwrap_or_default(),
        "limit": params.json("limit"),
        "metrics": params.texts("metrics").unwrap_or_default(),
        "orderBy": params.texts("order_by"),
        "where": filters,
    }))
}
