//! Replaces variables by their values.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{Directive, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql_value::{ConstValue, Name, Value, Variables};

use crate::error::QueryError;

/// The maximum size of all variables after substitution. Each value counts as one, and each 64 bytes of a string as one more.
const MAX_SIZE: usize = 100_000;

/// The values of the declared variables.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// The values with their sizes. A variable without a value is `None`: it counts as not given.
    by_name: HashMap<Name, (Option<ConstValue>, usize)>,
    /// The size of the values that replaced variables so far.
    size: usize,
}

/// Reads the values of the declared variables.
pub(super) fn values_of(operation: &OperationDefinition, given: &Variables) -> Result<Values, QueryError> {
    let mut values = Values::default();
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
        let size = value.as_ref().map_or(0, size);
        values.by_name.insert(name.clone(), (value, size));
    }
    Ok(values)
}

fn size(value: &ConstValue) -> usize {
    1 + match value {
        ConstValue::List(items) => items.iter().map(size).sum(),
        ConstValue::Object(fields) => fields.values().map(size).sum(),
        ConstValue::String(text) => text.len() / 64,
        _ => 0,
    }
}

impl Values {
    /// Returns the value of a variable for one more use of it.
    fn take(&mut self, name: &Name) -> Result<Option<Value>, QueryError> {
        let Some((value, size)) = self.by_name.get(name) else {
            return Err(QueryError::invalid(format!("variable `${name}` is not declared")));
        };
        self.size += size;
        if self.size > MAX_SIZE {
            return Err(QueryError::too_large(format!(
                "the variables have too many values: expected at most {MAX_SIZE}, got {} or more, and those of a variable count at each use",
                self.size
            )));
        }
        Ok(value.clone().map(ConstValue::into_value))
    }
}

pub(super) fn replace_in_set(set: &mut SelectionSet, values: &mut Values) -> Result<(), QueryError> {
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

fn replace_in_field(field: &mut Field, values: &mut Values) -> Result<(), QueryError> {
    replace_in_arguments(&mut field.arguments, values)?;
    replace_in_directives(&mut field.directives, values)?;
    replace_in_set(&mut field.selection_set.node, values)
}

pub(super) fn replace_in_directives(
    directives: &mut [Positioned<Directive>],
    values: &mut Values,
) -> Result<(), QueryError> {
    for directive in directives {
        replace_in_arguments(&mut directive.node.arguments, values)?;
    }
    Ok(())
}

fn replace_in_arguments(
    arguments: &mut Vec<(Positioned<Name>, Positioned<Value>)>,
    values: &mut Values,
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
fn with_values(value: Value, values: &mut Values) -> Result<Option<Value>, QueryError> {
    Ok(Some(match value {
        Value::Variable(name) => return values.take(&name),
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
