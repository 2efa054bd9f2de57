//! Parameters whose values are words.

use utoipa::openapi::schema::{ObjectBuilder, Type};

/// A parameter's value that is one of a few words.
pub(crate) trait Choice: Copy + PartialEq + Send + 'static {
    /// All words with their meaning. Where there is a default, it is the first one.
    const ALL: &'static [(&'static str, Self)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, choice)| *choice)
    }

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, choice)| *choice == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The schema of a text that is one of these words.
pub(super) fn text_of(words: impl Iterator<Item = String>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}
