//! Limits queries about the schema: each list that is nested in a list multiplies the answer by tens or hundreds.

use std::collections::{HashMap, HashSet};

use async_graphql::Positioned;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql_value::Name;

use crate::error::QueryError;

/// The maximum depth of lists of types and fields. `types { fields { … } }` needs 2, as do the queries of GraphiQL and of code generators.
const MAX_LISTS: usize = 2;

/// The field at the root that shows one type.
const TYPE: &str = "__type";

/// The lists that multiply.
const LISTS: [&str; 5] = ["types", "fields", "inputFields", "interfaces", "possibleTypes"];

/// Refuses queries about the schema whose answers could take much memory.
pub(crate) fn check_of_schema(document: &ExecutableDocument) -> Result<(), QueryError> {
    let checker = Checker {
        fragments: &document.fragments,
    };
    for (_, operation) in document.operations.iter() {
        checker.check(&[&operation.node.selection_set.node], 0)?;
    }
    Ok(())
}

struct Checker<'d> {
    fragments: &'d HashMap<Name, Positioned<FragmentDefinition>>,
}

impl<'d> Checker<'d> {
    /// Checks what is asked of one object by these selections together, inside this many lists.
    fn check(&self, sets: &[&'d SelectionSet], lists: usize) -> Result<(), QueryError> {
        if lists > MAX_LISTS {
            return Err(QueryError::too_large(format!(
                "the query is nested too deep: expected at most {MAX_LISTS} lists of the schema in each other, got more"
            )));
        }
        let mut by_key = IndexMap::new();
        for set in sets {
            self.collect(set, &mut by_key);
        }
        let names = by_key.values().map(|fields| fields[0].name.node.as_str());
        let types = names.filter(|name| *name == TYPE).count();
        let mut seen = HashSet::new();
        for fields in by_key.into_values() {
            let name = fields[0].name.node.as_str();
            // Only the root has it, each time with another name.
            let is_type = name == TYPE;
            if !seen.insert(name) && !is_type {
                return Err(QueryError::too_large(format!(
                    "`{name}` of the same object of the schema is selected several times: at most once is allowed"
                )));
            }
            let is_list = LISTS.contains(&name) || (is_type && types > 1);
            let sets: Vec<&SelectionSet> = fields.iter().map(|field| &field.selection_set.node).collect();
            self.check(&sets, lists + usize::from(is_list))?;
        }
        Ok(())
    }

    /// Collects the fields by their names in the answer, as fragments are merged.
    fn collect(&self, set: &'d SelectionSet, into: &mut IndexMap<&'d str, Vec<&'d Field>>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    into.entry(key).or_default().push(&field.node);
                }
                Selection::InlineFragment(fragment) => self.collect(&fragment.node.selection_set.node, into),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        self.collect(&fragment.node.selection_set.node, into);
                    }
                }
            }
        }
    }
}
