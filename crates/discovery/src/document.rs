//! The query: it is parsed, its variables are replaced by their values, and its size is limited before anything else looks at it.

mod brackets;
mod measure;
mod schema;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType};

use brackets::check_brackets;
use measure::Measure;
pub(crate) use schema::check_of_schema;
use variables::{replace_in_directives, replace_in_set, values_of};

use crate::api::Api;
use crate::error::QueryError;
use crate::request::Request;

/// The maximum depth of fields. The introspection query of GraphiQL needs 14.
pub(crate) const MAX_DEPTH: usize = 24;

/// The maximum number of fields in a query. The fields of a fragment count once for each use. The largest known query has 250.
const MAX_FIELDS: u64 = 5_000;

/// The maximum number of brackets that are open at once in the text. Fields and values need fewer.
const MAX_OPEN: usize = 64;

/// Parses the query and prepares the operation that the client wants. The result has one operation, no variables, and no fragment that the
/// operation does not use.
pub(crate) fn prepare(request: &Request, api: Api) -> Result<ExecutableDocument, QueryError> {
    check_brackets(&request.query)?;
    let parsed = parse_query(&request.query).map_err(|error| {
        let error: async_graphql::ServerError = error.into();
        QueryError::from(error)
    })?;
    let operation = operation(parsed.operations, request.operation_name.as_deref())?;
    match (operation.node.ty, api) {
        (OperationType::Query, _) => {}
        // All of dbt Cloud's mutations query the warehouse. They are not in the schema.
        (OperationType::Mutation, Api::SemanticLayer) => return Err(QueryError::no_warehouse().at(operation.pos)),
        _ => return Err(QueryError::invalid("only queries are supported: this API is read-only").at(operation.pos)),
    }
    let mut measure = Measure {
        fragments: &parsed.fragments,
        known: HashMap::new(),
        open: Vec::new(),
    };
    let size = measure.set(&operation.node.selection_set.node)?;
    if size.depth > MAX_DEPTH {
        return Err(QueryError::too_large(format!(
            "the query is nested too deep: expected at most {MAX_DEPTH} levels of fields, got {}",
            size.depth
        )));
    }
    if size.fields > MAX_FIELDS {
        return Err(QueryError::too_large(format!(
            "the query has too many fields: expected at most {MAX_FIELDS}, got {}, and those of a fragment count at each use",
            size.fields
        )));
    }
    let used = measure.known;
    let mut variables = values_of(&operation.node, &request.variables)?;
    let mut fragments = parsed.fragments;
    fragments.retain(|name, _| used.contains_key(name));
    for fragment in fragments.values_mut() {
        replace_in_set(&mut fragment.node.selection_set.node, &mut variables)?;
        replace_in_directives(&mut fragment.node.directives, &mut variables)?;
    }
    let mut operation = operation;
    operation.node.variable_definitions.clear();
    replace_in_set(&mut operation.node.selection_set.node, &mut variables)?;
    replace_in_directives(&mut operation.node.directives, &mut variables)?;
    Ok(ExecutableDocument {
        operations: DocumentOperations::Single(operation),
        fragments,
    })
}

fn operation(
    operations: DocumentOperations,
    name: Option<&str>,
) -> Result<Positioned<OperationDefinition>, QueryError> {
    match (operations, name) {
        (DocumentOperations::Single(operation), _) => Ok(operation),
        (DocumentOperations::Multiple(mut operations), Some(name)) => operations.remove(name).ok_or_else(|| {
            QueryError::invalid(format!("invalid `operationName`: the query has no operation `{name}`"))
        }),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.into_values();
            match (operations.next(), operations.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(QueryError::invalid(
                    "missing `operationName`: the query has several operations",
                )),
            }
        }
    }
}
