//! The query: it is parsed, its variables are replaced by their values, and its size is limited before anything else looks at it.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql_value::{ConstValue, Name, Value, Variables};

use crate::error::QueryError;
use crate::request::Request;

/// How deep fields may be nested. The introspection query of GraphiQL needs 14.
pub(crate) const MAX_DEPTH: usize = 24;

/// How deep lists of the schema may be nested in a query about it. That of GraphiQL needs 2.
const MAX_SCHEMA_DEPTH: usize = 3;

/// How many fields a query may have, those of a fragment at each place where it stands. The largest known query has 250.
const MAX_FIELDS: u64 = 5_000;

/// How many fields a query may have at the root: each is read for itself.
const MAX_ROOTS: usize = 20;

/// How many brackets may be open at once in the text. Fields and values need fewer.
const MAX_OPEN: usize = 64;

/// Parses the query and prepares the operation that the client wants. The result has one operation, no variables, and no fragment that the
/// operation does not use.
pub(crate) fn prepare(request: &Request) -> Result<ExecutableDocument, QueryError> {
    check_brackets(&request.query)?;
    let parsed = parse_query(&request.query).map_err(|error| {
        let error: async_graphql::ServerError = error.into();
        QueryError::from(error)
    })?;
    let operation = operation(parsed.operations, request.operation_name.as_deref())?;
    if operation.node.ty != OperationType::Query {
        return Err(QueryError::invalid("only queries are supported: this API is read-only").at(operation.pos));
    }
    let mut measure = Measure {
        fragments: &parsed.fragments,
        known: HashMap::new(),
        open: Vec::new(),
    };
    let size = measure.set(&operation.node.selection_set.node)?;
    if size.depth > MAX_DEPTH {
        return Err(QueryError::too_large(format!(
            "the query is nested too deep: at most {MAX_DEPTH} levels of fields are allowed"
        )));
    }
    if size.fields > MAX_FIELDS {
        return Err(QueryError::too_large(format!(
            "the query has too many fields: at most {MAX_FIELDS} are allowed, and those of a fragment count at each place"
        )));
    }
    let of_schema = measure.schema_depth(&operation.node.selection_set.node);
    if of_schema > MAX_SCHEMA_DEPTH {
        return Err(QueryError::too_large(
            "the query is nested too deep: the schema is asked for the types of types of types",
        ));
    }
    let used = measure.known;
    let roots = operation.node.selection_set.node.items.len();
    if roots > MAX_ROOTS {
        return Err(QueryError::too_large(format!(
            "the query has too many fields at its root: {roots}, at most {MAX_ROOTS} are allowed"
        )));
    }
    let variables = values_of(&operation.node, &request.variables)?;
    let mut fragments = parsed.fragments;
    fragments.retain(|name, _| used.contains_key(name));
    for fragment in fragments.values_mut() {
        replace_in_set(&mut fragment.node.selection_set.node, &variables)?;
        replace_in_directives(&mut fragment.node.directives, &variables)?;
    }
    let mut operation = operation;
    operation.node.variable_definitions.clear();
    replace_in_set(&mut operation.node.selection_set.node, &variables)?;
    replace_in_directives(&mut operation.node.directives, &variables)?;
    Ok(ExecutableDocument {
        operations: DocumentOperations::Single(operation),
        fragments,
    })
}

/// Refuses texts that are nested so deep that parsing them would exhaust the stack.
fn check_brackets(query: &str) -> Result<(), QueryError> {
    let mut open = 0_usize;
    let mut rest = query.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'(' | b'[' => open += 1,
            b'}' | b')' | b']' => open = open.saturating_sub(1),
            b'#' => rest = skip_to(rest, |rest| rest.starts_with(b"\n") || rest.starts_with(b"\r"), 0),
            b'"' if rest.starts_with(b"\"\"") => rest = skip_to(&rest[2..], |rest| rest.starts_with(b"\"\"\""), 3),
            b'"' => rest = skip_to(rest, |rest| rest.starts_with(b"\""), 1),
            _ => {}
        }
        if open > MAX_OPEN {
            return Err(QueryError::too_large("the query is nested too deep"));
        }
    }
    Ok(())
}

/// Skips to the end of a text or comment. A character after a backslash never ends it.
fn skip_to(mut rest: &[u8], is_end: fn(&[u8]) -> bool, length: usize) -> &[u8] {
    while !rest.is_empty() && !is_end(rest) {
        let step = if rest[0] == b'\\' { 2 } else { 1 };
        rest = rest.get(step..).unwrap_or_default();
    }
    rest.get(length..).unwrap_or_default()
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
                    "`operationName` is missing: the query has several operations",
                )),
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Size {
    fields: u64,
    depth: usize,
}

/// Measures selections. Each fragment is measured once, however often it is used.
struct Measure<'a> {
    fragments: &'a HashMap<Name, Positioned<async_graphql::parser::types::FragmentDefinition>>,
    known: HashMap<Name, Size>,
    /// The fragments that are being measured.
    open: Vec<Name>,
}

impl Measure<'_> {
    fn set(&mut self, set: &SelectionSet) -> Result<Size, QueryError> {
        let mut size = Size::default();
        for item in &set.items {
            let directives = u64::try_from(item.node.directives().len()).unwrap_or(u64::MAX);
            let of_item = match &item.node {
                Selection::Field(field) => {
                    let inner = self.set(&field.node.selection_set.node)?;
                    Size {
                        fields: inner.fields.saturating_add(1),
                        depth: inner.depth + 1,
                    }
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
            };
            size.fields = size.fields.saturating_add(of_item.fields).saturating_add(directives);
            size.depth = size.depth.max(of_item.depth);
        }
        Ok(size)
    }

    /// How deep lists of fields and types of the schema are nested. Each level may multiply the answer by hundreds.
    fn schema_depth(&self, set: &SelectionSet) -> usize {
        let depths = set.items.iter().map(|item| match &item.node {
            Selection::Field(field) => {
                let lists = ["fields", "inputFields", "interfaces", "possibleTypes"];
                let is_list = lists.contains(&field.node.name.node.as_str());
                self.schema_depth(&field.node.selection_set.node) + usize::from(is_list)
            }
            Selection::InlineFragment(fragment) => self.schema_depth(&fragment.node.selection_set.node),
            Selection::FragmentSpread(spread) => {
                let fragment = self.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |fragment| self.schema_depth(&fragment.node.selection_set.node))
            }
        });
        depths.max().unwrap_or_default()
    }

    fn fragment(&mut self, name: &Name) -> Result<Size, QueryError> {
        if let Some(size) = self.known.get(name) {
            return Ok(*size);
        }
        let Some(fragment) = self.fragments.get(name) else {
            return Err(QueryError::invalid(format!("there is no fragment `{name}`")));
        };
        if self.open.contains(name) {
            let message = format!("the fragment `{name}` contains itself");
            return Err(QueryError::invalid(message).at(fragment.pos));
        }
        if self.open.len() > MAX_OPEN {
            return Err(QueryError::too_large("the query is nested too deep"));
        }
        self.open.push(name.clone());
        let size = self.set(&fragment.node.selection_set.node)?;
        self.open.pop();
        self.known.insert(name.clone(), size);
        Ok(size)
    }
}

/// The values of the declared variables. A variable without a value is `None`: it counts as not given.
fn values_of(
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

fn replace_in_set(set: &mut SelectionSet, values: &Values) -> Result<(), QueryError> {
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

fn replace_in_directives(directives: &mut [Positioned<Directive>], values: &Values) -> Result<(), QueryError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(query: &str, variables: serde_json::Value) -> Result<ExecutableDocument, QueryError> {
        let body = serde_json::json!({ "query": query, "variables": variables });
        prepare(&Request::read(body.to_string().as_bytes())?)
    }

    fn error(query: &str) -> String {
        prepared(query, serde_json::Value::Null).unwrap_err().message
    }

    fn arguments(document: &ExecutableDocument) -> String {
        let (_, operation) = document.operations.iter().next().unwrap();
        let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else {
            panic!("not a field");
        };
        let arguments = field.node.arguments.iter();
        let texts: Vec<String> = arguments
            .map(|(name, value)| format!("{}:{}", name.node, value.node))
            .collect();
        texts.join(" ")
    }

    #[test]
    fn variables_are_replaced_and_missing_ones_are_left_out() {
        let query = "query Q($a: Int, $b: Int = 3, $c: Int, $unused: Int) { f(a: $a, b: $b, c: {d: $c, e: [$c]}) }";
        let document = prepared(query, serde_json::json!({"a": null, "undeclared": 1})).unwrap();
        assert_eq!(arguments(&document), "a:null b:3 c:{e: [null]}");
        assert!(prepared("query($a: Int!) { f(a: $a) }", serde_json::json!({})).is_err());
        assert!(error("{ f(a: $a) }").contains("is not declared"));
    }

    #[test]
    fn one_operation_is_chosen() {
        assert!(error("query A { f } query B { f }").contains("`operationName` is missing"));
        assert!(error("mutation { f }").contains("read-only"));
        assert!(prepared("query A { f }", serde_json::Value::Null).is_ok());
    }

    #[test]
    fn fragments_that_multiply_are_counted_without_expanding_them() {
        let mut query = String::from("{ ...f0 } fragment f60 on Query { a }");
        for number in 0..60 {
            query.push_str(&format!(
                " fragment f{number} on Query {{ ...f{0} ...f{0} }}",
                number + 1
            ));
        }
        assert!(error(&query).contains("too many fields"));
        assert!(
            error("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").contains("contains itself")
        );
        let aliases: String = (0..6_000).map(|number| format!(" a{number}: b")).collect();
        assert!(error(&format!("{{ x {{ {aliases} }} }}")).contains("too many fields"));
        let directives = "@skip(if: false) ".repeat(6_000);
        assert!(error(&format!("{{ x {directives} }}")).contains("too many fields"));
    }

    #[test]
    fn depth_is_limited_before_parsing() {
        assert!(error(&"{a".repeat(100_000)).contains("nested too deep"));
        assert!(error(&format!("{{ f(a: {}) }}", "[".repeat(100_000))).contains("nested too deep"));
        let deep = format!("{}{}", "{ a ".repeat(30), "}".repeat(30));
        assert!(error(&deep).contains("nested too deep"));
        let text = format!(
            "{{ f(a: \"{}\\\"\", b: \"\"\"{}\"\"\") # {}\n }}",
            "{".repeat(99),
            "[".repeat(99),
            "(".repeat(99)
        );
        assert!(prepared(&text, serde_json::Value::Null).is_ok());
    }
}
