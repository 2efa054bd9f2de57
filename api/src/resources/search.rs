//! What a search finds.

use std::collections::BTreeMap;

use discovery::{Defined, Found};
use serde::Serialize;
use utoipa::ToSchema;

/// The nodes that a search finds.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchResults {
    /// How many nodes were found.
    total_count: usize,
    /// How many were found of each type, if the type did not matter.
    of_types: BTreeMap<String, usize>,
    /// A part of them, the best first.
    hits: Vec<SearchHit>,
}

/// A node that was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchHit {
    unique_id: String,
    resource_type: String,
    name: Option<String>,
    /// Its description, at most 300 characters.
    description: String,
    /// The text by which it was found; null if its name has all words.
    found_in: Option<FoundIn>,
}

/// A part of a text with what was searched for.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundIn {
    /// `tag`, `column`, `description`, or `description of COLUMN`.
    of: String,
    /// The text.
    text: String,
}

impl SearchResults {
    pub(crate) fn new(defined: &Defined, found: Found) -> Self {
        let hits = found.hits.into_iter().map(|hit| {
            let node = defined.graph().node(hit.node);
            SearchHit {
                unique_id: node.unique_id.to_string(),
                resource_type: node.resource_type.to_string(),
                name: node.name.as_deref().map(str::to_owned),
                description: hit.description,
                found_in: hit.snippet.map(|snippet| FoundIn {
                    text: snippet.pieces.into_iter().map(|(_, piece)| piece).collect(),
                    of: snippet.of,
                }),
            }
        });
        Self {
            total_count: found.total,
            hits: hits.collect(),
            of_types: found
                .of_types
                .iter()
                .map(|(of, count)| (of.to_string(), *count))
                .collect(),
        }
    }
}
