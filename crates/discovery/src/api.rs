//! The APIs that are served.

use async_graphql::dynamic::Schema;

use crate::types::{SCHEMA, SEMANTIC_SCHEMA, SEMANTIC_TYPES, TYPES, Types};

/// An API with a schema of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The nodes of environments and runs.
    Discovery,
    /// The metrics of environments, and by what they can be grouped.
    SemanticLayer,
}

impl Api {
    /// Its schema in the schema definition language of GraphQL.
    #[must_use]
    pub fn sdl(self) -> String {
        self.schema().sdl()
    }

    /// The schema against which queries are checked, and which answers introspection.
    pub(crate) fn schema(self) -> &'static Schema {
        match self {
            Self::Discovery => &SCHEMA,
            Self::SemanticLayer => &SEMANTIC_SCHEMA,
        }
    }

    /// What the executor must know of the types of the schema.
    pub(crate) fn types(self) -> &'static Types {
        match self {
            Self::Discovery => &TYPES,
            Self::SemanticLayer => &SEMANTIC_TYPES,
        }
    }
}
