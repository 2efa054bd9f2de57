//! Replaces variables by their values.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{Directive, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql_value::{ConstValue, Name, Value, Variables};

use crate::error::QueryError;

/// The values of the declared variables. A variable without a value is `None`: it counts as not given.
pub(super) fn values_of(
    operation: &OperationDefinition,
    given: &Variables,
) -> Result<HashMap<Name, Option<ConstValue>>, QueryError> {
    let mut values = HashMap::new();
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        let default = definition.node.default_value.as_ref().map(|value| value.node.clone());
        let value = given.get(name).cloned().or(default);
        let is_missing = matches!(value, None | Some(ConstValue::Null));
        if is_missing && !definition.node.var_type.node.nullable {
            let ty = &definition.node.var_type.node;
            let message = format!("variable `${name}` of the type `{ty}` needs a value");
            return Err(QueryError::invalid(message).at(definition.pos));
        }
        values.insert(name.clone(), value);
    }
    Ok(values)
}

type Values = HashMap<Name, Option<ConstValue>>;

pub(super) fn replace_in_set(set: &mut SelectionSet, values: &Values) -> Result<(), QueryError> {
    for item in &mut set.items {
        match &mut item.node {
            Selection::Field(field) => replace_in_field(&mut field.node, values)?,
            Selection::InlineFragment(fragment) => {
                replace_in_directives(&mut fragment.node.directives, values)?;
                replace_in_set(&mut fragment.node.selection_set.node, values)?;
            }
            Selection::FragmentSpread(spread) => replace_in_directives(&mut spread.node.directives, values)?,
        }
    }
    Ok(())
}

fn replace_in_field(field: &mut Field, values: &Values) -> Result<(), QueryError> {
    replace_in_arguments(&mut field.arguments, values)?;
    replace_in_directives(&mut field.directives, values)?;
    replace_in_set(&mut field.selection_set.node, values)
}

pub(super) fn replace_in_directives(
    directives: &mut [Positioned<Directive>],
    values: &Values,
) -> Result<(), QueryError> {
    for directive in directives {
        replace_in_arguments(&mut directive.node.arguments, values)?;
    }
    Ok(())
}

fn replace_in_arguments(
    arguments: &mut Vec<(Positioned<Name>, Positioned<Value>)>,
    values: &Values,
) -> Result<(), QueryError> {
    let mut replaced = Vec::with_capacity(arguments.len());
    for (name, value) in arguments.drain(..) {
        let position = value.pos;
        if let Some(value) = with_values(value.node, values).map_err(|error| error.at(position))? {
            replaced.push((name, Positioned::new(value, position)));
        }
    }
    *arguments = replaced;
    Ok(())
}

/// Returns the value with its variables replaced, or `None` if it is a variable that was not given.
fn with_values(value: Value, values: &Values) -> Result<Option<Value>, QueryError> {
    Ok(Some(match value {
        Value::Variable(name) => match values.get(&name) {
            Some(value) => return Ok(value.clone().map(ConstValue::into_value)),
            None => return Err(QueryError::invalid(format!("variable `${name}` is not declared"))),
        },
        Value::List(items) => {
            let mut replaced = Vec::with_capacity(items.len());
            for item in items {
                replaced.push(with_values(item, values)?.unwrap_or(Value::Null));
            }
            Value::List(replaced)
        }
        Value::Object(fields) => {
            let mut replaced = async_graphql::indexmap::IndexMap::new();
            for (name, value) in fields {
                if let Some(value) = with_values(value, values)? {
                    replaced.insert(name, value);
                }
            }
            Value::Object(replaced)
        }
        other => other,
    }))
}
