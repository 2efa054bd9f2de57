//! The top-level keys of a manifest.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::raw::{Entries, Key, MAX_ENTRIES};

/// The sections whose entries are nodes, and the resource type of the entries that do not state their own.
const SECTIONS: [(&str, &str); 11] = [
    ("nodes", "unknown"),
    ("sources", "source"),
    ("macros", "macro"),
    ("docs", "doc"),
    ("exposures", "exposure"),
    ("metrics", "metric"),
    ("groups", "group"),
    ("semantic_models", "semantic_model"),
    ("saved_queries", "saved_query"),
    ("unit_tests", "unit_test"),
    ("functions", "function"),
];

/// A top-level key of a manifest with its value.
pub(super) enum Section<'a> {
    /// A section of nodes: its name, the resource type of entries that do not state their own, and the entries.
    Nodes(&'static str, &'static str, Entries<'a>),
    /// Any other key, or a section of nodes whose value is not an object.
    Other(Cow<'a, str>, &'a RawValue),
}

impl<'a> Section<'a> {
    pub(super) fn read(name: Cow<'a, str>, value: &'a RawValue) -> Result<Self, serde_json::Error> {
        match known(&name) {
            Some((name, resource_type)) if value.get().starts_with('{') => {
                Ok(Self::Nodes(name, resource_type, serde_json::from_str(value.get())?))
            }
            _ => Ok(Self::Other(name, value)),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Nodes(name, ..) => name,
            Self::Other(name, _) => name,
        }
    }
}

fn known(name: &str) -> Option<(&'static str, &'static str)> {
    SECTIONS.into_iter().find(|(section, _)| *section == name)
}

/// All sections, read in a single pass, because manifests are large and each pass takes time.
pub(super) struct Sections<'a>(pub(super) Vec<Section<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Sections<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SectionsVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for SectionsVisitor<'a> {
            type Value = Sections<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with sections of nodes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut sections = Vec::new();
                while sections.len() <= MAX_ENTRIES
                    && let Some(Key(name)) = map.next_key::<Key<'de>>()?
                {
                    sections.push(match known(&name) {
                        Some((name, resource_type)) => Section::Nodes(name, resource_type, map.next_value()?),
                        None => Section::Other(name, map.next_value()?),
                    });
                }
                if sections.len() > MAX_ENTRIES {
                    return Err(serde::de::Error::custom("too many sections to read at once"));
                }
                Ok(Sections(sections))
            }
        }

        deserializer.deserialize_map(SectionsVisitor(PhantomData))
    }
}
