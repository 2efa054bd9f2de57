//! The schema in async-graphql, which checks queries and answers introspection.

use std::sync::{Arc, LazyLock};

use async_graphql::async_trait::async_trait;
use async_graphql::dynamic::{
    Enum, Field, FieldFuture, InputObject, InputValue, Interface, InterfaceField, Object, Scalar, Schema, TypeRef,
};
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::parser::types::{BaseType, InputValueDefinition, Type, TypeDefinition, TypeKind};
use async_graphql_value::ConstValue;

use super::{QUERY, SEMANTIC_SOURCE, date, definitions, fields_of, integer, parsed};

/// The schema of the Discovery API.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| made(&definitions()));

/// The schema of the Semantic Layer.
pub(crate) static SEMANTIC_SCHEMA: LazyLock<Schema> = LazyLock::new(|| made(&parsed(SEMANTIC_SOURCE)));

fn made(definitions: &[TypeDefinition]) -> Schema {
    let mut schema = Schema::build(QUERY, None, None)
        .limit_recursive_depth(crate::document::MAX_DEPTH)
        .extension(Stop)
        .disable_suggestions();
    for definition in definitions {
        schema = match &definition.kind {
            TypeKind::Object(object) => {
                let mut made = Object::new(definition.name.node.as_str());
                for interface in &object.implements {
                    made = made.implement(interface.node.as_str());
                }
                for (name, field) in fields_of(definition, definitions) {
                    let mut of_schema = Field::new(name, reference(&field.ty.node), |_| FieldFuture::from_value(None));
                    for argument in &field.arguments {
                        of_schema = of_schema.argument(input(&argument.node));
                    }
                    made = made.field(of_schema);
                }
                schema.register(made)
            }
            TypeKind::Interface(interface) => {
                let mut made = Interface::new(definition.name.node.as_str());
                for parent in &interface.implements {
                    made = made.implement(parent.node.as_str());
                }
                for (name, field) in fields_of(definition, definitions) {
                    made = made.field(InterfaceField::new(name, reference(&field.ty.node)));
                }
                schema.register(made)
            }
            TypeKind::Enum(values) => {
                let mut made = Enum::new(definition.name.node.as_str());
                for value in &values.values {
                    made = made.item(value.node.value.node.as_str());
                }
                schema.register(made)
            }
            TypeKind::InputObject(object) => {
                let mut made = InputObject::new(definition.name.node.as_str());
                for field in &object.fields {
                    made = made.field(input(&field.node));
                }
                schema.register(made)
            }
            TypeKind::Scalar => schema.register(scalar(definition.name.node.as_str())),
            TypeKind::Union(_) => schema,
        };
    }
    match schema.finish() {
        Ok(schema) => schema,
        Err(error) => unreachable!("the schema is invalid, which a test would show: {error}"),
    }
}

/// Marks a request that is only checked against the schema.
pub(crate) struct OnlyCheck;

/// Stops after a request was checked.
struct Stop;

impl ExtensionFactory for Stop {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Stop {
    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> async_graphql::Response {
        if context.data_opt::<OnlyCheck>().is_some() {
            return async_graphql::Response::new(ConstValue::Null);
        }
        next.run(context, operation_name).await
    }
}

fn reference(ty: &Type) -> TypeRef {
    let base = match &ty.base {
        BaseType::Named(name) => TypeRef::named(name.as_str()),
        BaseType::List(inner) => TypeRef::List(Box::new(reference(inner))),
    };
    if ty.nullable {
        base
    } else {
        TypeRef::NonNull(Box::new(base))
    }
}

fn input(definition: &InputValueDefinition) -> InputValue {
    let value = InputValue::new(definition.name.node.as_str(), reference(&definition.ty.node));
    match &definition.default_value {
        Some(default) => value.default_value(default.node.clone()),
        None => value,
    }
}

fn scalar(name: &str) -> Scalar {
    let scalar = Scalar::new(name);
    match name {
        "BigInt" => scalar
            .description("A whole number. Numbers and texts of digits are accepted.")
            .validator(|value| integer(value).is_some()),
        "Date" => scalar
            .description("A day, such as `2026-11-28`.")
            .validator(|value| date(value).is_some()),
        "DateTime" => scalar.description("A time in UTC in the format of ISO 8601."),
        "JSONObject" => scalar.description("Any JSON object."),
        _ => scalar.description("Any JSON value."),
    }
}
