//! The types of the schema: what the executor must know of them, and the schema against which queries are checked.

mod schema;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, TypeDefinition, TypeKind, TypeSystemDefinition};
use async_graphql_value::ConstValue;

pub(crate) use schema::{OnlyCheck, SCHEMA, SEMANTIC_SCHEMA};

/// The types. An object also has the fields of its interfaces; connections are made from the types of their nodes.
const SOURCES: [&str; 7] = [
    include_str!("schema/roots.graphql"),
    include_str!("schema/applied.graphql"),
    include_str!("schema/definition.graphql"),
    include_str!("schema/lineage.graphql"),
    include_str!("schema/job.graphql"),
    include_str!("schema/others.graphql"),
    include_str!("schema/inputs.graphql"),
];

/// The types of the Semantic Layer.
const SEMANTIC_SOURCE: &str = include_str!("schema/semantic.graphql");

/// The types of nodes that are listed in pages.
const PAGED: [&str; 22] = [
    "EnvironmentAppliedNode",
    "EnvironmentDefinitionNode",
    "ExposureAppliedStateNode",
    "ExposureDefinitionNode",
    "GroupNode",
    "MacroDefinitionNode",
    "MetricDefinitionNode",
    "ModelAppliedStateNode",
    "ModelDefinitionNode",
    "PublicModel",
    "Recommendation",
    "SavedQueryDefinitionNode",
    "SearchResult",
    "SeedAppliedStateNode",
    "SeedDefinitionNode",
    "SemanticModelDefinitionNode",
    "SnapshotAppliedStateNode",
    "SnapshotDefinitionNode",
    "SourceAppliedStateNode",
    "SourceDefinitionNode",
    "TestAppliedStateNode",
    "TestDefinitionNode",
];

/// The root type of queries.
pub(crate) const QUERY: &str = "Query";

/// A type whose fields can be selected.
#[derive(Debug)]
pub(crate) struct ObjectType {
    pub(crate) name: String,
    pub(crate) interfaces: Vec<String>,
    pub(crate) fields: HashMap<String, FieldType>,
}

#[derive(Debug)]
pub(crate) struct FieldType {
    /// The name of the type without lists and exclamation marks.
    pub(crate) base: String,
    pub(crate) is_list: bool,
    pub(crate) is_non_null: bool,
}

/// The types by name.
#[derive(Debug)]
pub(crate) struct Types {
    objects: BTreeMap<String, ObjectType>,
    /// The objects that implement each interface.
    possible: HashMap<String, Vec<String>>,
}

impl Types {
    fn of(definitions: &[TypeDefinition]) -> Self {
        let mut types = Self {
            objects: BTreeMap::new(),
            possible: HashMap::new(),
        };
        for definition in definitions {
            match &definition.kind {
                TypeKind::Object(object) => {
                    let interfaces: Vec<String> = object.implements.iter().map(|name| name.node.to_string()).collect();
                    for interface in &interfaces {
                        let possible = types.possible.entry(interface.clone()).or_default();
                        possible.push(definition.name.node.to_string());
                    }
                    let fields = fields_of(definition, definitions);
                    let object = ObjectType {
                        name: definition.name.node.to_string(),
                        interfaces,
                        fields: fields
                            .iter()
                            .map(|(name, field)| (name.clone(), type_of(field)))
                            .collect(),
                    };
                    types.objects.insert(object.name.clone(), object);
                }
                TypeKind::Interface(_) => {
                    types.possible.entry(definition.name.node.to_string()).or_default();
                }
                _ => {}
            }
        }
        types
    }

    pub(crate) fn object(&self, name: &str) -> Option<&ObjectType> {
        self.objects.get(name)
    }

    /// The objects that a field of this type may return.
    pub(crate) fn possible(&self, name: &str) -> impl Iterator<Item = &ObjectType> {
        let own = self.objects.get(name);
        let implementing = self.possible.get(name).into_iter().flatten();
        own.into_iter()
            .chain(implementing.filter_map(|name| self.objects.get(name)))
    }

    /// Whether the type has fields.
    pub(crate) fn is_composite(&self, name: &str) -> bool {
        self.objects.contains_key(name) || self.possible.contains_key(name)
    }

    #[cfg(test)]
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectType> {
        self.objects.values()
    }
}

/// What the executor must know of the types of the Discovery API.
pub(crate) static TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&definitions()));

/// What the executor must know of the types of the Semantic Layer.
pub(crate) static SEMANTIC_TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&parsed(SEMANTIC_SOURCE)));

/// The types of the Discovery API, by name.
fn definitions() -> Vec<TypeDefinition> {
    let mut text = SOURCES.concat();
    for node in PAGED {
        text.push_str(&format!(
            "type {node}Connection {{ edges: [{node}Edge!]! pageInfo: PageInfo! totalCount: Int! }}
             type {node}Edge {{ cursor: String! node: {node}! }}\n"
        ));
    }
    parsed(&text)
}

/// The types of a schema, by name.
fn parsed(text: &str) -> Vec<TypeDefinition> {
    let document = match parse_schema(text) {
        Ok(document) => document,
        Err(error) => unreachable!("the schema is invalid, which a test would show: {error}"),
    };
    let types = document
        .definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            _ => None,
        });
    let mut types: Vec<TypeDefinition> = types.collect();
    types.sort_by(|one, other| one.name.node.as_str().cmp(other.name.node.as_str()));
    types
}

/// The fields of a type and of its interfaces, by name. Its own come before those of its interfaces.
fn fields_of(definition: &TypeDefinition, all: &[TypeDefinition]) -> BTreeMap<String, FieldDefinition> {
    let (implements, own) = match &definition.kind {
        TypeKind::Object(object) => (&object.implements, &object.fields),
        TypeKind::Interface(interface) => (&interface.implements, &interface.fields),
        _ => return BTreeMap::new(),
    };
    let mut fields: BTreeMap<String, FieldDefinition> = own
        .iter()
        .map(|field| (field.node.name.node.to_string(), field.node.clone()))
        .collect();
    for interface in implements {
        let found = all.iter().find(|other| other.name.node == interface.node);
        for (name, field) in found.map(|found| fields_of(found, all)).unwrap_or_default() {
            fields.entry(name).or_insert(field);
        }
    }
    fields
}

fn type_of(field: &FieldDefinition) -> FieldType {
    let mut base = &field.ty.node.base;
    let mut is_list = false;
    loop {
        match base {
            BaseType::Named(name) => {
                return FieldType {
                    base: name.to_string(),
                    is_list,
                    is_non_null: !field.ty.node.nullable,
                };
            }
            BaseType::List(inner) => {
                is_list = true;
                base = &inner.base;
            }
        }
    }
}

/// Reads a `BigInt`, which clients also send as a text.
pub(crate) fn integer(value: &ConstValue) -> Option<i64> {
    match value {
        ConstValue::Number(number) => number.as_i64(),
        ConstValue::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads a `Date`.
pub(crate) fn date(value: &ConstValue) -> Option<chrono::NaiveDate> {
    match value {
        ConstValue::String(text) => text.get(..10)?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_valid() {
        let sdl = SCHEMA.sdl();
        assert!(sdl.contains("type ModelAppliedStateNodeConnection"), "{sdl}");
        assert!(TYPES.object(QUERY).is_some());
        assert!(SEMANTIC_SCHEMA.sdl().contains("type MetricResultPage"));
        assert!(SEMANTIC_TYPES.object(QUERY).is_some());
    }

    #[test]
    fn numbers_are_also_read_from_texts() {
        assert_eq!(integer(&ConstValue::from(12)), Some(12));
        assert_eq!(integer(&ConstValue::from("12")), Some(12));
        assert_eq!(integer(&ConstValue::from("1e3")), None);
        assert_eq!(integer(&ConstValue::from(true)), None);
    }
}
