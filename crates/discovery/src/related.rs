//! The nodes that are related to a node.

use async_graphql_value::ConstValue;

use crate::error::QueryError;
use crate::graph::{Graph, NodeIndex};
use crate::kind::{Kind, Shape};
use crate::plan::Selected;
use crate::steps::Steps;
use crate::values::Relation;

/// Returns the related nodes that the schema can show there, sorted by id.
pub(crate) fn related(
    graph: &Graph,
    index: NodeIndex,
    shape: Shape,
    relation: Relation,
    selected: &Selected,
) -> Vec<NodeIndex> {
    let node = graph.node(index);
    let only = |indices: &[NodeIndex], kind: Kind| -> Vec<NodeIndex> {
        let indices = indices.iter().copied();
        indices.filter(|index| graph.node(*index).kind == Some(kind)).collect()
    };
    let found = match relation {
        Relation::Ancestors => graph.ancestors(&[index]),
        Relation::Children => node.children.to_vec(),
        Relation::Parents => node.parents.to_vec(),
        Relation::ParentModels => only(&node.parents, Kind::Model),
        Relation::ParentSources => only(&node.parents, Kind::Source),
        Relation::Tests => node.tests.to_vec(),
        Relation::ModelOfMetric => only(&node.parents, Kind::Model).into_iter().take(1).collect(),
        Relation::ModelsOfGroup => graph.models_of_group(node).collect(),
    };
    shown(graph, found, shape, relation, selected)
}

/// Returns the nodes that are related to any of these nodes, sorted by id. Each node that is looked at is a step.
pub(crate) fn related_of_all(
    graph: &Graph,
    indices: &[NodeIndex],
    shape: Shape,
    relation: Relation,
    selected: &Selected,
    steps: &mut Steps,
) -> Result<Vec<NodeIndex>, QueryError> {
    // All of them at once: many nodes have the same ancestors.
    if relation == Relation::Ancestors {
        let ancestors = graph.ancestors(indices);
        steps.take(ancestors.len())?;
        return Ok(shown(graph, ancestors, shape, relation, selected));
    }
    let mut all = Vec::new();
    for index in indices {
        let found = related(graph, *index, shape, relation, selected);
        let looked_at = if relation == Relation::ModelsOfGroup {
            graph.len()
        } else {
            found.len()
        };
        steps.take(looked_at)?;
        all.extend(found);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Keeps the nodes that the schema can show there, and of ancestors those that the query asks for.
fn shown(
    graph: &Graph,
    mut found: Vec<NodeIndex>,
    shape: Shape,
    relation: Relation,
    selected: &Selected,
) -> Vec<NodeIndex> {
    let kinds = kinds_of(selected).filter(|_| relation == Relation::Ancestors);
    found.retain(|index| {
        let kind = graph.node(*index).kind;
        kind.is_some_and(|kind| {
            shape.nested().type_name(kind).is_some() && kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
        })
    });
    found
}

/// The kinds that the argument `types` names; none if there is no such argument.
pub(crate) fn kinds_of(selected: &Selected) -> Option<Vec<Kind>> {
    selected.arguments.get("types").map(kinds)
}

/// Reads a list of names of kinds.
pub(crate) fn kinds(value: &ConstValue) -> Vec<Kind> {
    let named = |value: &ConstValue| match value {
        ConstValue::Enum(name) => Kind::named(name),
        ConstValue::String(name) => Kind::named(name),
        _ => None,
    };
    match value {
        ConstValue::List(items) => items.iter().filter_map(named).collect(),
        one => named(one).into_iter().collect(),
    }
}
