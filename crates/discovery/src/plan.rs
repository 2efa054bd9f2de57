//! What a query asks for: its fields by the concrete type of each object, with fragments and aliases resolved.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Positioned;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentDefinition, Selection as Item, SelectionSet,
};
use async_graphql_value::{ConstValue, Name};

use crate::error::QueryError;
use crate::needs::Needs;
use crate::types::{FieldType, ObjectType, QUERY, Types};
use crate::values::{Reader, reader};

/// The maximum number of fields in a query. A field counts once for each type that it may belong to.
const MAX_PLANNED: usize = 50_000;

/// The maximum number of fields at the root of a query. Each is read separately.
const MAX_ROOTS: usize = 20;

/// The name that asks for the type of an object.
pub(crate) const TYPENAME: &str = "__typename";

/// The fields that are asked of an object.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) fields: Vec<Arc<Selected>>,
    /// What the fields need, if they are a node's.
    pub(crate) needs: Needs,
}

/// A field that is asked for.
#[derive(Debug)]
pub(crate) struct Selected {
    /// The name in the answer: the alias, or the name.
    pub(crate) key: String,
    /// The name in the schema.
    pub(crate) name: String,
    /// The type; none for `__typename`.
    pub(crate) ty: Option<&'static FieldType>,
    pub(crate) arguments: Arc<HashMap<String, ConstValue>>,
    /// What is asked of its objects, by the names of their types.
    pub(crate) sub: HashMap<&'static str, Selection>,
    /// How it is read, if it belongs to a node.
    pub(crate) reader: Option<Reader>,
}

impl Selected {
    /// A field with nothing but its name.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self {
            key: name.to_owned(),
            name: name.to_owned(),
            ty: None,
            arguments: Arc::default(),
            sub: HashMap::new(),
            reader: None,
        }
    }

    /// What is asked of objects of the field's type, if that is an object and not an interface.
    pub(crate) fn only(&self) -> &Selection {
        static NOTHING: Selection = Selection {
            fields: Vec::new(),
            needs: Needs::NOTHING,
        };
        let of_type = self.ty.and_then(|ty| self.sub.get(ty.base.as_str()));
        of_type.unwrap_or(&NOTHING)
    }

    /// Whether anything that is asked of nodes here needs this.
    pub(crate) fn needs(&self, what: Needs) -> bool {
        let mut selections = self.sub.values();
        selections.any(|selection| selection.needs.has(what) || selection.fields.iter().any(|field| field.needs(what)))
    }
}

/// Plans the only operation of a document that was checked against the schema.
pub(crate) fn plan(document: &ExecutableDocument, types: &'static Types) -> Result<Selection, QueryError> {
    let (Some(query), set) = (types.object(QUERY), root_set(document)) else {
        return Ok(Selection::default());
    };
    Planner::new(document, types).select(query, &set)
}

/// The names of the fields at the root, those of fragments too, in the order of their names in the answer.
pub(crate) fn roots<'d>(document: &'d ExecutableDocument, types: &'static Types) -> Result<Vec<&'d str>, QueryError> {
    let mut by_key = IndexMap::new();
    if let Some(query) = types.object(QUERY) {
        for set in root_set(document) {
            Planner::new(document, types).collect(query, set, &mut by_key);
        }
    }
    if by_key.len() > MAX_ROOTS {
        let roots = by_key.len();
        return Err(QueryError::too_large(format!(
            "the query has too many fields at its root: expected at most {MAX_ROOTS}, got {roots}"
        )));
    }
    Ok(by_key
        .into_values()
        .map(|fields| fields[0].name.node.as_str())
        .collect())
}

fn root_set(document: &ExecutableDocument) -> Vec<&SelectionSet> {
    let operations = document.operations.iter().take(1);
    operations
        .map(|(_, operation)| &operation.node.selection_set.node)
        .collect()
}

struct Planner<'d> {
    types: &'static Types,
    fragments: &'d HashMap<Name, Positioned<FragmentDefinition>>,
    planned: usize,
    /// The arguments of each field of the document, which may be planned for many types.
    arguments: HashMap<*const Field, Arc<HashMap<String, ConstValue>>>,
}

impl<'d> Planner<'d> {
    fn new(document: &'d ExecutableDocument, types: &'static Types) -> Self {
        Self {
            types,
            fragments: &document.fragments,
            planned: 0,
            arguments: HashMap::new(),
        }
    }

    fn select(&mut self, ty: &'static ObjectType, sets: &[&'d SelectionSet]) -> Result<Selection, QueryError> {
        let mut by_key: IndexMap<&'d str, Vec<&'d Field>> = IndexMap::new();
        for set in sets {
            self.collect(ty, set, &mut by_key);
        }
        let mut selection = Selection::default();
        for (key, fields) in by_key {
            self.planned += 1;
            if self.planned > MAX_PLANNED {
                return Err(QueryError::too_large(format!(
                    "the query asks for too many fields of too many types: expected at most {MAX_PLANNED}, got more"
                )));
            }
            let name = fields[0].name.node.as_str();
            // The check against the schema compares only fields of the same type.
            if let Some(other) = fields[1..].iter().find(|other| !is_same(fields[0], other)) {
                let message = format!(
                    "the fields `{key}` of `{}` differ in their names or arguments: give one of them another alias",
                    ty.name
                );
                return Err(QueryError::invalid(message).at(other.name.pos));
            }
            let field_type = ty.fields.get(name);
            let mut sub = HashMap::new();
            if let Some(field_type) = field_type
                && self.types.is_composite(&field_type.base)
            {
                let sets: Vec<&SelectionSet> = fields.iter().map(|field| &field.selection_set.node).collect();
                for object in self.types.possible(&field_type.base) {
                    sub.insert(object.name.as_str(), self.select(object, &sets)?);
                }
            }
            let reader = reader(&ty.name, name);
            if let Some(Reader::Value(needs, _)) = reader {
                selection.needs = selection.needs.and(needs);
            }
            selection.fields.push(Arc::new(Selected {
                key: key.to_owned(),
                name: name.to_owned(),
                ty: field_type,
                arguments: self.arguments(fields[0]),
                sub,
                reader,
            }));
        }
        Ok(selection)
    }

    fn arguments(&mut self, field: &'d Field) -> Arc<HashMap<String, ConstValue>> {
        let read = || {
            let arguments = field.arguments.iter();
            let values =
                arguments.filter_map(|(name, value)| Some((name.node.to_string(), value.node.clone().into_const()?)));
            Arc::new(values.collect())
        };
        Arc::clone(self.arguments.entry(field).or_insert_with(read))
    }

    /// Collects the fields that a selection asks of objects of this type.
    fn collect(&self, ty: &ObjectType, set: &'d SelectionSet, into: &mut IndexMap<&'d str, Vec<&'d Field>>) {
        for item in &set.items {
            if !is_included(item.node.directives()) {
                continue;
            }
            match &item.node {
                Item::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    into.entry(key).or_default().push(&field.node);
                }
                Item::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    if on.is_none_or(|on| is_of(ty, on)) {
                        self.collect(ty, &fragment.node.selection_set.node, into);
                    }
                }
                Item::FragmentSpread(spread) => {
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node)
                        && is_of(ty, &fragment.node.type_condition.node.on.node)
                    {
                        self.collect(ty, &fragment.node.selection_set.node, into);
                    }
                }
            }
        }
    }
}

/// Whether two fields ask for the same.
fn is_same(one: &Field, other: &Field) -> bool {
    let has = |(name, value): &(Positioned<Name>, Positioned<async_graphql_value::Value>)| {
        other
            .get_argument(&name.node)
            .is_some_and(|found| found.node == value.node)
    };
    one.name.node == other.name.node && one.arguments.len() == other.arguments.len() && one.arguments.iter().all(has)
}

fn is_of(ty: &ObjectType, on: &str) -> bool {
    ty.name == on || ty.interfaces.iter().any(|interface| interface == on)
}

/// Whether `@skip` and `@include` let a selection in.
fn is_included(directives: &[Positioned<Directive>]) -> bool {
    directives.iter().all(|directive| {
        let condition = directive.node.get_argument("if").map(|value| &value.node);
        let is_true = matches!(condition, Some(async_graphql_value::Value::Boolean(true)));
        match directive.node.name.node.as_str() {
            "skip" => !is_true,
            "include" => is_true,
            _ => true,
        }
    })
}
