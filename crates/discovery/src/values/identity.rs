//! The fields that every node has: its names, its paths, and the project, environment and run that it belongs to.

use std::borrow::Cow;

use super::{Read, unknown};
use crate::facts::{Facts, Value};
use crate::needs::Needs;

pub(super) fn field(type_name: &str, field: &str) -> Option<(Needs, Read)> {
    let is_lineage = type_name.ends_with("LineageNode");
    Some(match field {
        "accountId" => (Needs::NOTHING, |facts| Value::Int(facts.scope.account.0)),
        "dbtProjectName" => (Needs::NOTHING, |facts| {
            Value::of_str(facts.node.package_name.as_deref())
        }),
        "dbtVersion" => (Needs::NOTHING, |facts| {
            Value::of_str(facts.scope.head.as_ref().and_then(|head| head.dbt_version.as_deref()))
        }),
        "environmentId" => (Needs::NOTHING, |facts| Value::Int(facts.scope.environment.0)),
        "filePath" if is_lineage => (Needs::ATTRIBUTES, |facts| {
            Value::of_str(facts.attributes.map(|attributes| &*attributes.path))
        }),
        "filePath" | "originalFilePath" => (Needs::DEFINITION, |facts| {
            facts.first_text(&["original_file_path", "path"])
        }),
        "fqn" if is_lineage => (Needs::ATTRIBUTES, |facts| {
            texts(facts.attributes.map(|attributes| &*attributes.fqn))
        }),
        "fqn" => (Needs::DEFINITION, |facts| {
            Value::of_texts(facts.doc.texts("fqn").unwrap_or_default())
        }),
        "jobDefinitionId" | "jobId" => (Needs::NOTHING, |facts| Value::of_int(facts.scope.job)),
        "manifestGeneratedAt" => (Needs::NOTHING, generated_at),
        "meta" => (Needs::DEFINITION, |facts| {
            let own = facts.doc.raw_object("meta");
            Value::of_raw(
                own.filter(|meta| meta.get() != "{}")
                    .or_else(|| facts.config().raw_object("meta"))
                    .or(own),
            )
        }),
        "name" => (Needs::NOTHING, |facts| {
            let node = facts.node;
            Value::of_str(node.name.as_deref().or_else(|| node.unique_id.rsplit('.').next()))
        }),
        "packageName" => (Needs::NOTHING, |facts| {
            Value::of_str(facts.node.package_name.as_deref())
        }),
        // Pages end after a node, and the id of a node determines its position in a list.
        "paginationCursor" | "uniqueId" => (Needs::NOTHING, |facts| Value::of_str(Some(&facts.node.unique_id))),
        "path" => (Needs::DEFINITION, |facts| facts.text("path")),
        "patchPath" => (Needs::DEFINITION, |facts| facts.text("patch_path")),
        "projectId" => (Needs::NOTHING, |facts| Value::Int(facts.scope.project)),
        "resourceType" if is_lineage => (Needs::NOTHING, |facts| {
            Value::of_str(facts.node.kind.map(crate::kind::Kind::name))
        }),
        "resourceType" => (Needs::NOTHING, |facts| Value::of_str(Some(&facts.node.resource_type))),
        "rootPath" => (Needs::NOTHING, unknown),
        "runGeneratedAt" => (Needs::NOTHING, generated_at),
        "runId" => (Needs::NOTHING, |facts| {
            let of_head = facts.scope.head.as_ref().and_then(|head| head.run_id);
            Value::of_int(facts.scope.run.map(|run| run.0).or(of_head))
        }),
        "tags" if is_lineage => (Needs::ATTRIBUTES, |facts| {
            texts(facts.attributes.map(|attributes| &*attributes.tags))
        }),
        "tags" => (Needs::DEFINITION, |facts| Value::of_texts(tags(facts))),
        _ => return None,
    })
}

fn generated_at<'f>(facts: &'f Facts<'f>) -> Value<'f> {
    Value::of_time(facts.scope.head.as_ref().map(|head| head.generated_at))
}

/// The tags, which newer versions of dbt also write into the configuration.
fn tags<'f>(facts: &'f Facts<'f>) -> Vec<Cow<'f, str>> {
    let own = facts.doc.texts("tags").unwrap_or_default();
    if own.is_empty() {
        return facts.config().texts("tags").unwrap_or_default();
    }
    own
}

fn texts<'f>(list: Option<&'f [Box<str>]>) -> Value<'f> {
    Value::of_texts(
        list.unwrap_or_default()
            .iter()
            .map(|text| Cow::Borrowed(&**text))
            .collect(),
    )
}
