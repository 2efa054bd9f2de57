//! The nodes that differ, with their code and columns.

use api::comparison::{ColumnChange, ColumnFacts, FieldChange, NodeChange};
use maud::{Markup, html};
use serde_json::Value;

use super::Context;
use super::diff::Differ;
use crate::parts;

/// The fields that are texts of several lines.
const TEXTS: [&str; 5] = ["raw_code", "raw_sql", "macro_sql", "description", "block_contents"];

/// How many nodes are open at first.
const OPEN: usize = 5;

/// How many columns of a node are shown.
const MAX_COLUMNS: usize = 100;

/// How much of a value is shown.
const MAX_LENGTH: usize = 2_000;

/// Shows nodes that differ, by what differs.
pub(super) fn nodes(changes: &[NodeChange], context: &Context) -> Markup {
    let of = |kind: &str| {
        changes
            .iter()
            .filter(|change| change.change == kind)
            .collect::<Vec<&NodeChange>>()
    };
    let differ = Differ::new();
    html! {
        @for (number, change) in of("changed").into_iter().enumerate() { (changed(change, number < OPEN, context, &differ)) }
        (names("Added", &of("added"), context))
        (names("Removed", &of("removed"), context))
    }
}

fn names(title: &str, changes: &[&NodeChange], context: &Context) -> Markup {
    html! {
        @if !changes.is_empty() {
            h3 { (title) }
            ul.nodes { @for change in changes {
                li { span.kind { (parts::words(&change.resource_type)) } span { (context.node(&change.unique_id, change.change == "added")) } }
            } }
        }
    }
}

fn changed(change: &NodeChange, is_open: bool, context: &Context, differ: &Differ) -> Markup {
    let texts = TEXTS.iter().filter_map(|key| Some((*key, change.fields.get(*key)?)));
    let values: Vec<(&String, &FieldChange)> = change
        .fields
        .iter()
        .filter(|(key, field)| {
            !TEXTS.contains(&key.as_str()) && (is_shown(key) || change.fields.len() == 1) && !is_blank(field)
        })
        .collect();
    html! {
        details.card.change open[is_open] {
            summary {
                span.kind { (parts::words(&change.resource_type)) } " "
                strong { bdi { (parts::node_name(&change.unique_id)) } } " "
                span.quiet { (what(change)) }
            }
            p { (context.id(&change.unique_id)) }
            @for (key, field) in texts {
                h3 { (title(key)) }
                (differ.lines(&text(field.before.as_deref()), &text(field.now.as_deref())))
            }
            (columns(&change.columns))
            @if !values.is_empty() {
                h3 { "Other fields" }
                div.scroll { table {
                    thead { tr { th { "Field" } th { "Before" } th { "Now" } } }
                    tbody { @for (key, field) in values {
                        tr { td { (parts::words(key)) } td.name { (value(field.before.as_deref())) } td.name { (value(field.now.as_deref())) } }
                    } }
                } }
            }
        }
    }
}

/// The checksum always differs with the code.
fn is_shown(key: &str) -> bool {
    key != "checksum"
}

fn is_blank(field: &FieldChange) -> bool {
    field.before.is_none() && field.now.is_none()
}

fn title(key: &str) -> &'static str {
    match key {
        "description" => "Description",
        "block_contents" => "Text",
        _ => "Code",
    }
}

fn what(change: &NodeChange) -> String {
    let word = |key: &String| {
        if title(key) == "Code" && TEXTS.contains(&key.as_str()) {
            "code".to_owned()
        } else {
            parts::words(key)
        }
    };
    let mut words: Vec<String> = change.fields.keys().filter(|key| is_shown(key)).map(word).collect();
    if !change.columns.is_empty() {
        words.push("columns".to_owned());
    }
    words.join(", ")
}

fn text(json: Option<&serde_json::value::RawValue>) -> String {
    json.and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default()
}

fn value(json: Option<&serde_json::value::RawValue>) -> Markup {
    let read: Value = json
        .and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default();
    let text = match &read {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let (shown, is_cut) = parts::beginning(&text, MAX_LENGTH);
    html! {
        @if text.is_empty() { span.quiet { "nothing" } } @else { code { bdi { (shown) } } }
        @if is_cut { "…" }
    }
}

fn columns(changes: &[ColumnChange]) -> Markup {
    html! {
        @if !changes.is_empty() {
            h3 { "Columns" }
            div.scroll { table {
                thead { tr { th { "Column" } th { "Before" } th { "Now" } } }
                tbody { @for change in changes.iter().take(MAX_COLUMNS) {
                    tr { td.mono { bdi { (change.name) } } td { (facts(change.before.as_ref())) } td { (facts(change.now.as_ref())) } }
                } }
            } }
            @if changes.len() > MAX_COLUMNS { p.note { "Only the first " (MAX_COLUMNS) " of " (changes.len()) " are shown." } }
        }
    }
}

fn facts(column: Option<&ColumnFacts>) -> Markup {
    let Some(column) = column else {
        return html! { span.quiet { "not there" } };
    };
    html! {
        @if let Some(kind) = column.catalog_type.as_ref().or(column.data_type.as_ref()) { code { bdi { (kind) } } " " } @else { "there " }
        @if let Some(text) = &column.description { span.quiet dir="auto" { (parts::beginning(text, MAX_LENGTH).0) } }
    }
}
