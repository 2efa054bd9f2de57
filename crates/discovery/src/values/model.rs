//! Fields of models and other nodes with a table.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::json;

use super::definition::text_json;
use super::{Read, unknown};
use crate::facts::{Facts, Value};
use crate::graph::{Attributes, NodeIndex, modeling_layer};
use crate::needs::Needs;
use crate::select::order_of_versions;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    if type_name.ends_with("LineageNode") {
        return lineage(field);
    }
    Some(match field {
        "access" => (Needs::DEFINITION, |facts| facts.configured("access")),
        "alias" => (Needs::DEFINITION, |facts| facts.text("alias")),
        "compiledCode" | "compiledSql" => (Needs::CODE, |facts| Value::of_str(facts.code)),
        "constraints" => (Needs::DEFINITION, constraints),
        "contractEnforced" => (Needs::DEFINITION, |facts| {
            let contract = facts
                .doc
                .object("contract")
                .or_else(|| facts.config().object("contract"));
            Value::of_bool(contract.and_then(|contract| contract.boolean("enforced")))
        }),
        "database" => (Needs::DEFINITION, |facts| facts.text("database")),
        "deprecationDate" => (Needs::DEFINITION, |facts| facts.text("deprecation_date")),
        "group" | "dbtGroup" => (Needs::DEFINITION, |facts| facts.configured("group")),
        // dbt writes the description of a model, and not where it comes from.
        "isDescriptionInherited" => (Needs::NOTHING, unknown),
        "language" => (Needs::DEFINITION, |facts| facts.text("language")),
        "latestVersion" => (Needs::DEFINITION, |facts| facts.text("latest_version")),
        "materializedType" => (Needs::NOTHING, |facts| {
            Value::of_str(facts.node.materialized.as_deref())
        }),
        "modelingLayer" => (Needs::DEFINITION, |facts| {
            let path = facts.doc.text("original_file_path").unwrap_or_default();
            Value::of_str(modeling_layer(&path, facts.node.name.as_deref().unwrap_or_default()))
        }),
        "packages" => (Needs::NOTHING, packages),
        "rawCode" | "rawSql" => (Needs::DEFINITION, |facts| facts.first_text(&["raw_code", "raw_sql"])),
        "releaseVersion" => (Needs::DEFINITION, |facts| {
            Value::of_str(Some(release(
                facts.doc.text("version").as_deref(),
                facts.doc.text("latest_version").as_deref(),
            )))
        }),
        "schema" => (Needs::DEFINITION, |facts| facts.text("schema")),
        "testStatuses" => (Needs::TESTS, |facts| {
            let statuses = facts.test_statuses.iter();
            Value::Json(statuses.map(|(id, status)| ((*id).to_owned(), json!(status))).collect())
        }),
        "version" => (Needs::DEFINITION, |facts| facts.text("version")),
        "versions" => (Needs::DEFINITION.and(Needs::ATTRIBUTES), versions),
        _ => return None,
    })
}

fn lineage(field: &str) -> Option<(Needs, Read)> {
    let of = |read: Read| (Needs::ATTRIBUTES, read);
    Some(match field {
        "access" => of(|facts| attribute(facts, |attributes| &attributes.access)),
        "alias" => of(|facts| attribute(facts, |attributes| &attributes.alias)),
        "database" => of(|facts| attribute(facts, |attributes| &attributes.database)),
        "group" => of(|facts| attribute(facts, |attributes| &attributes.group)),
        "lastRunStatus" => (Needs::RESULTS, |facts| {
            Value::of_str(facts.last.as_ref().map(|last| last.row.status.as_str()))
        }),
        // Only nodes that were selected are in the answer; how they were selected is not kept.
        "matchesMethod" => (Needs::NOTHING, unknown),
        "materializationType" => (Needs::NOTHING, |facts| {
            Value::of_str(facts.node.materialized.as_deref())
        }),
        "modelingLayer" => of(|facts| Value::of_str(facts.attributes.and_then(|of| of.modeling_layer(facts.node)))),
        "parentIds" => (Needs::NOTHING, |facts| {
            let graph = &facts.scope.graph;
            // Only nodes that a lineage may have.
            let is_shown = |parent: &&NodeIndex| graph.node(**parent).kind.is_some();
            let parents = facts.node.parents.iter().filter(is_shown);
            let parents = parents.map(|parent| Cow::Borrowed(graph.id(*parent)));
            let macros = facts.macros().into_iter().filter(|id| graph.find(id).is_some());
            Value::of_texts(parents.chain(macros.map(Cow::Owned)).collect())
        }),
        // Projects do not share models here.
        "publicParentIds" => (Needs::NOTHING, |_| Value::Json(json!([]))),
        "schema" => of(|facts| attribute(facts, |attributes| &attributes.schema)),
        "sourceName" => of(|facts| attribute(facts, |attributes| &attributes.source_name)),
        "version" => of(|facts| attribute(facts, |attributes| &attributes.version)),
        "worstTestStatus" => (Needs::TESTS, |facts| {
            let statuses = facts.test_statuses.iter().map(|(_, status)| *status);
            Value::of_str(statuses.max_by_key(|status| badness(status)))
        }),
        _ => return None,
    })
}

fn attribute<'f>(facts: &'f Facts<'f>, of: fn(&Attributes) -> &Option<Box<str>>) -> Value<'f> {
    Value::of_str(facts.attributes.and_then(|attributes| of(attributes).as_deref()))
}

fn badness(status: &str) -> u8 {
    match status {
        "pass" | "success" => 1,
        "warn" => 2,
        "error" | "runtime error" => 3,
        "fail" => 4,
        _ => 0,
    }
}

fn constraints<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let constraints = facts.doc.objects("constraints");
    let constraints = constraints.iter().map(|constraint| {
        json!({
            "type": text_json(constraint, "type"),
            "name": text_json(constraint, "name"),
            "expression": text_json(constraint, "expression"),
            "columns": constraint.json("columns"),
            "warnUnenforced": constraint.json("warn_unenforced"),
            "warnUnsupported": constraint.json("warn_unsupported"),
        })
    });
    Value::Json(constraints.collect())
}

/// The packages of the nodes that it depends on.
fn packages<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let parents = facts.node.parents.iter();
    let packages: BTreeSet<&str> = parents
        .filter_map(|parent| facts.scope.graph.node(*parent).package_name.as_deref())
        .collect();
    Value::of_texts(packages.into_iter().map(Cow::Borrowed).collect())
}

/// Whether a version of a model is older or newer than the latest version, or is the latest.
fn release(version: Option<&str>, latest: Option<&str>) -> &'static str {
    let (Some(version), Some(latest)) = (version, latest) else {
        return "none";
    };
    match order_of_versions(version, latest) {
        Some(Ordering::Less) => "old",
        Some(Ordering::Greater) => "prerelease",
        _ => "latest",
    }
}

/// All versions of a model that has versions.
fn versions<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    let graph = &facts.scope.graph;
    let node = facts.node;
    let (Some(_), Some(attributes)) = (facts.doc.text("version"), graph.attributes()) else {
        return Value::Json(json!([]));
    };
    let Some(own) = graph.find(&node.unique_id) else {
        return Value::Json(json!([]));
    };
    // Nodes are sorted by id, and the ids of the versions differ only in their ends.
    let is_other = |index: &NodeIndex| {
        let other = graph.node(*index);
        other.name == node.name && other.package_name == node.package_name && other.resource_type == node.resource_type
    };
    let before = (0..own).rev().take_while(is_other).count();
    let first = own - NodeIndex::try_from(before).unwrap_or_default();
    let others = (first..graph.indices().end).take_while(is_other);
    let versions = others.map(|index| {
        let other = &attributes[index as usize];
        json!({
            "uniqueId": graph.id(index),
            "name": graph.node(index).name.as_deref().unwrap_or_default(),
            "releaseVersion": release(other.version.as_deref(), other.latest_version.as_deref()),
        })
    });
    Value::Json(versions.collect())
}
