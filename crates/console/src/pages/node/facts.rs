//! The facts of a node in short, and the uploads that they come from.

use api::node::{Freshness, LastResult, NodeDetails};
use maud::{Markup, html};
use serde_json::Value;

use super::{Context, own};
use crate::parts;

/// Shows the facts in short.
pub(super) fn facts(node: &NodeDetails, context: Context) -> Markup {
    let text = |key: &str| node.node.text(key).filter(|text| !text.is_empty());
    let config = own::field(node, "config");
    let configured = |key: &str| config.get(key).map(own::brief).filter(|text| !text.is_empty());
    let own_or_configured = |key: &str| {
        let own = own::field(node, key);
        if own::is_empty(&own) {
            config.get(key).cloned().unwrap_or_default()
        } else {
            own
        }
    };
    html! {
        dl.facts {
            @if let Some(result) = &node.last_result {
                dt { @if node.resource_type == "source" { "Last check" } @else { "Last result" } }
                dd { (outcome(result, context)) }
            }
            @if let Some(success) = &node.last_success { dt { "Last success" } dd { (when(success, context)) } }
            @else if node.last_result.is_some() { dt { "Last success" } dd.quiet { "none known" } }
            @if let Some(freshness) = &node.freshness { (freshness_of(freshness)) }
            @if let Some(owner) = owner(node, &config) { dt { "Owner" } dd { bdi { (owner) } } }
            @if let Some(group) = text("group") {
                dt { "Group" }
                dd { @match node.group.as_ref().and_then(|group| group.text("unique_id")) {
                    Some(id) => a href=(context.node(&id)) { bdi { (group) } },
                    None => bdi { (group) },
                } }
            }
            @if let Some(materialized) = configured("materialized") { dt { "Materialized" } dd { bdi { (materialized) } } }
            @if let Some(relation) = text("relation_name") { dt { "Relation" } dd { code { bdi { (relation) } } } }
            (in_warehouse(node))
            @if config["contract"]["enforced"] == true { dt { "Contract" } dd { "enforced" } }
            @if let Some(access) = text("access") { dt { "Access" } dd { bdi { (access) } } }
            @if let Some(severity) = configured("severity").filter(|_| node.resource_type == "test") { dt { "Severity" } dd { bdi { (severity) } } }
            @if let Some(package) = text("package_name") { dt { "Package" } dd { bdi { (package) } } }
            @if let Value::Array(tags) = own_or_configured("tags") {
                @if !tags.is_empty() { dt { "Tags" } dd.row { @for tag in &tags { span.tag { bdi { (own::brief(tag)) } } } } }
            }
            @if let Value::Object(meta) = own_or_configured("meta") {
                @if !meta.is_empty() { dt { "Meta" } dd { @for (key, value) in &meta { div { bdi { (key) } ": " bdi { (own::brief(value)) } } } } }
            }
        }
    }
}

fn outcome(result: &LastResult, context: Context) -> Markup {
    html! {
        (parts::result_status(&result.status)) " " (when(result, context))
        @if let Some(time) = result.execution_time { span.quiet { " in " (parts::seconds(time)) } }
        @if let Some(failures) = result.failures.filter(|failures| *failures > 0) { ", " (failures) " failures" }
        @if result.is_limited { div.note { "built with --empty or --sample" } }
    }
}

fn when(result: &LastResult, context: Context) -> Markup {
    html! {
        (parts::moment(result.completed_at))
        @if let Some(run) = result.run_id { " · " a href=(context.run(run)) { "run " (run) } }
    }
}

fn freshness_of(freshness: &Freshness) -> Markup {
    let [warn, error] = parts::freshness_limits(freshness.criteria.as_deref());
    html! {
        dt { "Freshness" }
        dd {
            (parts::result_status(&freshness.status)) " checked " (parts::moment(freshness.checked_at))
            @if let Some(time) = freshness.max_loaded_at {
                div { "newest row " (parts::moment(time))
                    @if let Some(age) = freshness.max_loaded_at_time_ago_in_s { ", then " (parts::seconds(age)) " old" } }
            }
            @if let Some(limit) = warn { div.note { "warns after " bdi { (limit) } } }
            @if let Some(limit) = error { div.note { "fails after " bdi { (limit) } } }
        }
    }
}

/// Who answers for the node: its own owner, that of its group, or the one in its `meta`.
fn owner(node: &NodeDetails, config: &Value) -> Option<String> {
    let of_group = node
        .group
        .as_ref()
        .and_then(|group| serde_json::from_str(group.raw("owner")?.get()).ok());
    let meta = own::field(node, "meta");
    let candidates = [
        Some(own::field(node, "owner")),
        of_group,
        meta.get("owner").cloned(),
        config.get("meta").and_then(|meta| meta.get("owner")).cloned(),
    ];
    candidates.into_iter().flatten().find_map(|owner| match owner {
        Value::Object(owner) => {
            let part = |key: &str| owner.get(key).map(own::brief).filter(|text| !text.is_empty());
            let parts: Vec<String> = ["name", "email"].into_iter().filter_map(part).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        other => Some(own::brief(&other)).filter(|text| !text.is_empty()),
    })
}

/// What the newest catalog says of the table.
fn in_warehouse(node: &NodeDetails) -> Markup {
    let read = |json: Option<&serde_json::value::RawValue>| -> Value {
        json.and_then(|json| serde_json::from_str(json.get()).ok())
            .unwrap_or_default()
    };
    let catalog = node.catalog.as_ref();
    let metadata = read(catalog.and_then(|table| table.metadata.as_deref()));
    let stats = read(catalog.and_then(|table| table.stats.as_deref()));
    let shown = stats
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, stat)| stat["include"] == true && !own::is_empty(&stat["value"]));
    html! {
        @if let Some(kind) = metadata["type"].as_str() {
            dt { "In the warehouse" }
            dd {
                bdi { (kind) }
                @if let Some(owner) = metadata["owner"].as_str().filter(|owner| !owner.is_empty()) { ", owned by " bdi { (owner) } }
            }
        }
        @for (key, stat) in shown.take(10) {
            dt { bdi { (stat["label"].as_str().unwrap_or(key)) } }
            dd { bdi { (own::brief(&stat["value"])) } }
        }
    }
}

/// Shows the uploads that the facts come from.
pub(super) fn origins(node: &NodeDetails, context: Context) -> Markup {
    html! {
        @if !node.origins.is_empty() {
            section {
                h2 { "Where this is known from" }
                div.scroll {
                    table {
                        thead { tr {
                            th { "What" } th { "File" } th { "Written by dbt" } th.narrow-hidden { "Uploaded" } th { "Run" } th { "Event" }
                        } }
                        tbody {
                            @for origin in &node.origins {
                                tr {
                                    td { (parts::words(origin.aspect)) }
                                    td { code { bdi { (origin.name) } } }
                                    td { (parts::moment(origin.written_at)) }
                                    td.narrow-hidden { (parts::moment(origin.uploaded_at)) }
                                    td.run { @if let Some(run) = origin.run_id { a href=(context.run(run)) { "Run " (run) } } }
                                    td.event { code { (origin.event_id) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
