//! The arguments of fields, which were checked against the schema.

use async_graphql_value::ConstValue;

use crate::plan::Selected;
use crate::types::integer;

/// Returns an argument; none if it is absent or null.
pub(crate) fn argument<'s>(selected: &'s Selected, name: &str) -> Option<&'s ConstValue> {
    selected
        .arguments
        .get(name)
        .filter(|value| !matches!(value, ConstValue::Null))
}

/// Returns a field of an argument that is an object.
pub(crate) fn field<'v>(object: Option<&'v ConstValue>, name: &str) -> Option<&'v ConstValue> {
    match object? {
        ConstValue::Object(fields) => fields.get(name).filter(|value| !matches!(value, ConstValue::Null)),
        _ => None,
    }
}

/// Reads a text or the name of an enum's value, which clients also send as a text.
pub(crate) fn text(value: Option<&ConstValue>) -> Option<&str> {
    match value? {
        ConstValue::String(text) => Some(text),
        ConstValue::Enum(name) => Some(name),
        _ => None,
    }
}

/// Reads a list of texts. One text is taken as a list of one.
pub(crate) fn texts(value: Option<&ConstValue>) -> Option<Vec<&str>> {
    match value? {
        ConstValue::List(items) => Some(items.iter().filter_map(|item| text(Some(item))).collect()),
        one => text(Some(one)).map(|text| vec![text]),
    }
}

pub(crate) fn boolean(value: Option<&ConstValue>) -> Option<bool> {
    match value? {
        ConstValue::Boolean(value) => Some(*value),
        _ => None,
    }
}

/// Reads a number of the argument with this name.
pub(crate) fn number(selected: &Selected, name: &str) -> Option<i64> {
    argument(selected, name).and_then(integer)
}
