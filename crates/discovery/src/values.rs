//! How each field of a node is read.

mod catalog;
mod definition;
mod execution;
mod freshness;
mod identity;
mod job;
mod model;
mod semantic;
mod test;

use crate::facts::{Facts, Value};
use crate::needs::Needs;

// The words of the schema for statuses, which filters take too.
pub(crate) use execution::{is_skip, run_status};
pub(crate) use freshness::status as freshness_status;
pub(crate) use test::test_type;

/// Reads a field.
pub(crate) type Read = for<'f> fn(&'f Facts<'f>) -> Value<'f>;

/// How a field of a node is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// From the data of the node.
    Value(Needs, Read),
    /// Other nodes.
    Nodes(Relation),
}

/// How other nodes are related to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Ancestors,
    Children,
    ModelOfMetric,
    ModelsOfGroup,
    Parents,
    ParentModels,
    ParentSources,
    Tests,
}

/// Returns how a field of a type is read, or `None` if the type is not that of a node.
pub(crate) fn reader(type_name: &str, field: &str) -> Option<Reader> {
    if !is_node(type_name) {
        return None;
    }
    if let Some(relation) = relation(type_name, field) {
        return Some(Reader::Nodes(relation));
    }
    let (needs, read) = job::field(type_name, field)
        .or_else(|| test::field(type_name, field))
        .or_else(|| semantic::field(type_name, field))
        .or_else(|| identity::field(type_name, field))
        .or_else(|| definition::field(field))
        .or_else(|| model::field(type_name, field))
        .or_else(|| execution::field(type_name, field))
        .or_else(|| catalog::field(field))
        .or_else(|| freshness::field(field))?;
    Some(Reader::Value(needs, read))
}

/// Whether a type is that of a node: of its own, or of a run.
fn is_node(type_name: &str) -> bool {
    let others = [
        "CatalogNode",
        "ColumnLineageNode",
        "ExposureTileNode",
        "JobNode",
        "ModelExecutionInfoNode",
        "RunInfoNode",
        "SeedExecutionInfoNode",
        "SnapshotExecutionInfoNode",
        "SourceFreshnessNode",
        "TestExecutionInfoNode",
    ];
    type_name.ends_with("Node") && !others.contains(&type_name)
}

fn relation(type_name: &str, field: &str) -> Option<Relation> {
    Some(match (type_name, field) {
        ("GroupNode", "models") => Relation::ModelsOfGroup,
        ("MetricNode", "model") => Relation::ModelOfMetric,
        (_, "ancestors") => Relation::Ancestors,
        (_, "children") => Relation::Children,
        (_, "parents") => Relation::Parents,
        (_, "parentsModels") => Relation::ParentModels,
        (_, "parentsSources") => Relation::ParentSources,
        (_, "tests") => Relation::Tests,
        _ => return None,
    })
}

/// A field that is always null, because dbt writes nothing from which it could be known.
fn unknown<'f>(_: &'f Facts<'f>) -> Value<'f> {
    Value::Null
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TYPES;

    #[test]
    fn every_field_of_every_node_is_read() {
        let mut missing = Vec::new();
        for object in TYPES.objects().filter(|object| is_node(&object.name)) {
            for field in object.fields.keys() {
                if reader(&object.name, field).is_none() {
                    missing.push(format!("{}.{field}", object.name));
                }
            }
        }
        missing.sort();
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
