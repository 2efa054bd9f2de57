//! Measures a query.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{FragmentDefinition, Selection, SelectionSet};
use async_graphql_value::Name;

use super::MAX_OPEN;
use crate::error::QueryError;

/// The size of a selection.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) fields: u64,
    pub(super) depth: usize,
}

/// Measures selections. Each fragment is measured once, however often it is used.
pub(super) struct Measure<'a> {
    pub(super) fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// The fragments that were measured.
    pub(super) known: HashMap<Name, Size>,
    /// The fragments that are being measured.
    pub(super) open: Vec<Name>,
}

impl Measure<'_> {
    pub(super) fn set(&mut self, set: &SelectionSet) -> Result<Size, QueryError> {
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
            return Err(QueryError::too_large(format!(
                "the query is nested too deep: expected at most {MAX_OPEN} fragments in each other, got more"
            )));
        }
        self.open.push(name.clone());
        let size = self.set(&fragment.node.selection_set.node)?;
        self.open.pop();
        self.known.insert(name.clone(), size);
        Ok(size)
    }
}
