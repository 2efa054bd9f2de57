//! The nodes that are related to a node.

use async_graphql_value::ConstValue;

use crate::graph::{Graph, NodeIndex};
use crate::kind::{Kind, Shape};
use crate::plan::Selected;
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
        Relation::Ancestors => {
            let kinds = kinds_of(selected);
            let mut ancestors = graph.ancestors(index);
            ancestors.retain(|index| {
                kinds
                    .as_ref()
                    .is_none_or(|kinds| graph.node(*index).kind.is_some_and(|kind| kinds.contains(&kind)))
            });
            ancestors
        }
        Relation::Children => node.children.to_vec(),
        Relation::Parents => node.parents.to_vec(),
        Relation::ParentModels => only(&node.parents, Kind::Model),
        Relation::ParentSources => only(&node.parents, Kind::Source),
        Relation::Tests => node.tests.to_vec(),
        Relation::ModelOfMetric => only(&node.parents, Kind::Model).into_iter().take(1).collect(),
        Relation::ModelsOfGroup => {
            let (name, Some(attributes)) = (node.name.as_deref(), graph.attributes()) else {
                return Vec::new();
            };
            let models = graph.of_kind(Kind::Model);
            models
                .filter(|index| attributes[*index as usize].group.as_deref() == name)
                .collect()
        }
    };
    let is_shown = |index: &NodeIndex| {
        graph
            .node(*index)
            .kind
            .and_then(|kind| shape.nested().type_name(kind))
            .is_some()
    };
    found.into_iter().filter(is_shown).collect()
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
