//! What only nodes of one type have: exposures, metrics, semantic models, saved queries, unit tests, macros and docs.

use api::node::NodeDetails;
use maud::{Markup, html};
use serde_json::Value;

use crate::{markdown, parts};

/// The most characters of a value.
const MAX_LENGTH: usize = 20_000;

/// The fields that are shown of each type.
fn fields(resource_type: &str) -> &'static [&'static str] {
    match resource_type {
        "exposure" => &["label", "type", "maturity", "url"],
        "metric" => &["label", "type", "type_params", "filter", "time_granularity"],
        "semantic_model" => &[
            "label",
            "model",
            "primary_entity",
            "defaults",
            "entities",
            "dimensions",
            "measures",
        ],
        "saved_query" => &["label", "query_params", "exports"],
        "unit_test" => &["model", "given", "expect", "overrides"],
        "source" => &[
            "source_description",
            "loader",
            "identifier",
            "loaded_at_field",
            "loaded_at_query",
            "external",
        ],
        "seed" => &["root_path", "checksum"],
        "snapshot" => &["snapshot_meta_column_names"],
        "macro" => &["arguments", "supported_languages"],
        "group" => &["owner"],
        "function" => &["type", "arguments", "returns"],
        "model" => &["version", "latest_version", "deprecation_date", "constraints"],
        _ => &[],
    }
}

/// Shows what only nodes of this type have.
pub(super) fn facts(node: &NodeDetails) -> Markup {
    let values: Vec<(&str, Value)> = fields(&node.resource_type)
        .iter()
        .map(|key| (*key, stripped(field(node, key))))
        .filter(|(_, value)| !is_empty(value))
        .collect();
    html! {
        @if !values.is_empty() {
            section {
                h2 { "Definition" }
                dl.facts { @for (key, value) in &values { dt { (parts::words(key)) } dd { (shown(value)) } } }
            }
        }
        @if let Some(text) = node.node.text("block_contents") { section { h2 { "Text" } (markdown::description(&text)) } }
    }
}

/// A field of a node as a value; null if it is absent.
pub(super) fn field(node: &NodeDetails, key: &str) -> Value {
    node.node
        .raw(key)
        .and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default()
}

/// A value without the parts that say nothing.
fn stripped(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, stripped(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(stripped).collect()),
        value => value,
    }
}

/// Whether a value says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A value in one line.
pub(super) fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(|value| !value.is_array() && !value.is_object()) => {
            values.iter().map(brief).collect::<Vec<String>>().join(", ")
        }
        value => value.to_string(),
    };
    parts::beginning(&text, MAX_LENGTH).0.to_owned()
}

fn shown(value: &Value) -> Markup {
    match value {
        Value::String(text) if text.starts_with("https://") || text.starts_with("http://") => html! {
            a href=(text) rel="nofollow noopener noreferrer" { bdi { (text) } }
        },
        Value::Object(_) => json(value),
        Value::Array(values) if values.iter().any(|value| value.is_array() || value.is_object()) => json(value),
        value => html! { bdi { (brief(value)) } },
    }
}

fn json(value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre tabindex="0" { code { (parts::beginning(&text, MAX_LENGTH).0) } } }
}
