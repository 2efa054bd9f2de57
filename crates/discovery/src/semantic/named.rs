//! Values that several parts of an answer share, under their names.

use std::sync::Arc;

use serde_json::Value as Json;

/// A dimension, entity or measure: its fields, by the names of the schema, and the name under which it is shown. The same dimension has
/// different names, by the ways that lead to it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) value: Arc<Json>,
}

/// A list.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) items: Vec<Named>,
    /// About as many bytes as it takes in an answer that asks for all fields.
    pub(crate) size: usize,
}

impl Shared {
    pub(crate) fn new(items: Vec<Named>) -> Self {
        let size = items.iter().map(|item| 2 * item.name.len() + size(&item.value)).sum();
        Self { items, size }
    }
}

/// About as many bytes as a value takes as JSON.
pub(crate) fn size(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) => 8,
        Json::Number(_) => 16,
        Json::String(text) => text.len() + 4,
        Json::Array(items) => items.iter().map(size).sum::<usize>() + 4,
        Json::Object(fields) => fields.iter().map(|(key, value)| key.len() + size(value) + 4).sum(),
    }
}
