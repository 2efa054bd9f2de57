//! Reads a manifest as an index of its nodes.
//!
//! One reader handles all versions, from the unversioned files of dbt 0.18 to the newest. A version number guarantees nothing, since dbt
//! adds and drops fields without changing it. Nothing that dbt wrote is rejected: a node that cannot be read is quarantined, and the rest
//! of the file is used.

mod sections;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::ops::Range;

use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use rayon::prelude::*;
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};
use serde_json::value::RawValue;

use super::Node;
use super::raw::{Entries, text};
use super::scan::read_time;
use super::text::{InvalidArtifact, may_have_lone_surrogates, repair, utf8};
use sections::{Section, Sections};

/// Starts the threads of [`Manifest::map_nodes`]. A process that has no room for them then fails when it starts, and not when it reads a
/// manifest, which would seem to be the manifest's fault.
///
/// # Errors
/// Returns an error if the system does not start them.
pub fn start_threads() -> Result<(), ThreadPoolBuildError> {
    match ThreadPoolBuilder::new().build_global() {
        Err(error) if error.source().is_some() => Err(error),
        // They may have been started before.
        _ => Ok(()),
    }
}

/// The maximum length of the name of an unknown section, in bytes.
const MAX_SECTION_NAME: usize = 100;

/// A manifest of any version, with its text.
#[derive(Default)]
pub struct Manifest {
    text: String,
    /// What `metadata` in the text says; fields that it lacks are `None`.
    pub metadata: ManifestMetadata,
    nodes: Vec<NodeEntry>,
    /// The entries that are not nodes although they are in a section of nodes.
    pub quarantined: Vec<QuarantinedNode>,
}

/// A node that was found but not parsed yet. Parsed nodes take as much memory as their text.
struct NodeEntry {
    key: String,
    /// The default resource type of the section.
    resource_type: Cow<'static, str>,
    range: Range<usize>,
}

/// The minimum number of nodes per parallel task. Fewer are not worth the cost of another core.
const MIN_NODES_PER_TASK: usize = 1_000;

/// The metadata of a manifest. Every field may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestMetadata {
    /// A URL that ends in the version, such as `v12.json`.
    pub dbt_schema_version: Option<String>,
    /// The version of dbt, such as `1.12.6`. It is not always a semantic version.
    pub dbt_version: Option<String>,
    /// When the manifest was written.
    pub generated_at: Option<DateTime<Utc>>,
    /// The id of the dbt command that wrote the manifest.
    pub invocation_id: Option<String>,
    /// dbt's name for the project.
    pub project_name: Option<String>,
    /// The MD5 hash of the project's name.
    pub project_id: Option<String>,
    /// The adapter, such as `snowflake`.
    pub adapter_type: Option<String>,
}

impl ManifestMetadata {
    /// Returns dbt's name for the project. It is `project_name` in schema v9 and later. Otherwise it is the package whose MD5 hash is
    /// `project_id`, or else the only package. Returns `None` if the name cannot be determined.
    #[must_use]
    pub fn project(&self, packages: &BTreeSet<String>) -> Option<String> {
        if let Some(name) = &self.project_name {
            return Some(name.clone());
        }
        let id = self.project_id.as_deref().unwrap_or_default();
        let of_id = packages
            .iter()
            .find(|name| hex::encode(Md5::digest(name.as_bytes())) == id);
        let only = packages.iter().next().filter(|_| packages.len() == 1);
        of_id.or(only).cloned()
    }
}

/// An entry in a section of nodes that is not a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedNode {
    /// The top-level key of the section.
    pub section: String,
    /// The key of the entry in the section.
    pub unique_id: String,
    /// Why the entry is not a node.
    pub reason: String,
}

impl Manifest {
    /// Reads the bytes of a manifest and repairs invalid JSON like [`super::ArtifactText::read`].
    ///
    /// # Errors
    /// Returns an error if the repaired text is still not JSON, is not an object, or has more entries than any project can have.
    pub fn read(bytes: Vec<u8>) -> Result<Self, InvalidArtifact> {
        let mut text = utf8(bytes);
        if !may_have_lone_surrogates(&text)
            && let Ok(Sections(sections)) = serde_json::from_str(&text)
        {
            let manifest = Self::of_sections(&text, &sections)?;
            return Ok(Self { text, ..manifest });
        }
        text = repair(&text);
        let entries: Entries<'_> = serde_json::from_str(&text)?;
        let sections = entries.0.into_iter().map(|(name, value)| Section::read(name, value));
        let manifest = Self::of_sections(&text, &sections.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Self { text, ..manifest })
    }

    /// Maps each node of the manifest (models, tests, sources, macros and everything else with a unique id) in the order of the file.
    /// Disabled nodes are not included. The work is spread over all cores, and the parsed nodes are not kept.
    #[must_use]
    pub fn map_nodes<T: Send>(&self, make: impl Fn(Node<'_>) -> T + Sync) -> Vec<T> {
        let nodes = self.nodes.par_iter().with_min_len(MIN_NODES_PER_TASK);
        nodes
            .map(|entry| {
                let text = &self.text[entry.range.clone()];
                make(Node::read(&entry.key, &entry.resource_type, text))
            })
            .collect()
    }

    /// The byte range of a node of this manifest in the text.
    #[must_use]
    pub fn range_of(&self, node: &Node<'_>) -> Range<usize> {
        range_in(&self.text, node.source())
    }

    /// Returns the node at this byte range, given its id and resource type.
    #[must_use]
    pub fn node_at(&self, range: Range<usize>, unique_id: &str, resource_type: &str) -> Option<Node<'_>> {
        Some(Node::read(unique_id, resource_type, self.text.get(range)?))
    }
}

impl Manifest {
    /// Builds the index from these sections of the text. The caller adds the text itself.
    fn of_sections(text: &str, sections: &[Section<'_>]) -> Result<Self, serde_json::Error> {
        let mut manifest = Self::default();
        let values = sections.iter().filter_map(|section| match section {
            Section::Other(name, value) => Some((name.clone(), *value)),
            Section::Nodes(..) => None,
        });
        manifest.metadata = metadata(&Entries(values.collect()));
        for section in last_of_each_key(sections, Section::name) {
            match section {
                Section::Nodes(name, resource_type, entries) => {
                    manifest.add(text, name, Cow::Borrowed(resource_type), entries);
                }
                // What clients may add to the metadata, such as variables, may look like a node.
                Section::Other(name, _) if name == "metadata" => {}
                Section::Other(name, value) if name.len() <= MAX_SECTION_NAME && value.get().starts_with('{') => {
                    let entries: Entries<'_> = serde_json::from_str(value.get())?;
                    if holds_nodes(&entries) {
                        // A section of a future dbt version: `semantic_things` holds nodes of the type `semantic_thing`.
                        let singular = name.strip_suffix('s').unwrap_or(name).to_owned();
                        manifest.add(text, name, Cow::Owned(singular), &entries);
                    }
                }
                Section::Other(..) => {}
            }
        }
        Ok(manifest)
    }

    fn add(&mut self, text: &str, section: &str, resource_type: Cow<'static, str>, entries: &Entries<'_>) {
        for (key, value) in last_of_each_key(&entries.0, |(key, _)| key) {
            if value.get().starts_with('{') {
                self.nodes.push(NodeEntry {
                    key: key.clone().into_owned(),
                    resource_type: resource_type.clone(),
                    range: range_in(text, value.get()),
                });
            } else {
                self.quarantined.push(QuarantinedNode {
                    section: section.to_owned(),
                    unique_id: key.clone().into_owned(),
                    reason: format!("`{section}` has {} here: expected an object", beginning(value)),
                });
            }
        }
    }
}

/// The byte range of `piece` in the text that contains it.
fn range_in(text: &str, piece: &str) -> Range<usize> {
    let begin = piece.as_ptr() as usize - text.as_ptr() as usize;
    begin..begin + piece.len()
}

/// Returns the entries in the order of the file. If a key is repeated, only the last entry counts.
fn last_of_each_key<T>(entries: &[T], key: impl Fn(&T) -> &str) -> impl Iterator<Item = &T> {
    let last: HashMap<&str, usize> = entries.iter().enumerate().map(|(at, entry)| (key(entry), at)).collect();
    let mut lasting: Vec<usize> = last.into_values().collect();
    lasting.sort_unstable();
    lasting.into_iter().map(|at| &entries[at])
}

/// Whether the entries are nodes of a kind that is not known yet. Maps such as `parent_map` contain lists. An internal dump of dbt has a
/// copy of the graph as `flat_graph`, whose values are maps of nodes.
fn holds_nodes(entries: &Entries<'_>) -> bool {
    !entries.0.is_empty()
        && entries.0.iter().all(|(_, value)| {
            Entries::of(value)
                .is_some_and(|node| node.get("unique_id").is_some() && node.get("resource_type").is_some())
        })
}

fn metadata(sections: &Entries<'_>) -> ManifestMetadata {
    let written_by_old_dbt = || sections.text("generated_at").as_deref().and_then(read_time);
    let Some(entries) = sections.get("metadata").and_then(Entries::of) else {
        return ManifestMetadata {
            generated_at: written_by_old_dbt(),
            ..ManifestMetadata::default()
        };
    };
    let get = |key: &str| entries.get(key).and_then(text).map(std::borrow::Cow::into_owned);
    ManifestMetadata {
        dbt_schema_version: get("dbt_schema_version"),
        dbt_version: get("dbt_version"),
        generated_at: get("generated_at")
            .as_deref()
            .and_then(read_time)
            .or_else(written_by_old_dbt),
        invocation_id: get("invocation_id"),
        project_name: get("project_name"),
        project_id: get("project_id"),
        adapter_type: get("adapter_type"),
    }
}

fn beginning(value: &RawValue) -> String {
    value.get().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_nodes_in_all_sections() {
        let text = r#"{"metadata": {"dbt_version": "1.12.6", "generated_at": "2026-01-01T00:00:00"},
            "nodes": {"model.p.a": {"resource_type": "model"}, "model.p.b": 3, "x": {}},
            "sources": {"source.p.s.t": {"name": "t"}},
            "semantic_things": {"thing.p.a": {"unique_id": "thing.p.a", "resource_type": "semantic_thing"}},
            "parent_map": {"model.p.a": []}, "disabled": {"model.p.c": [{"resource_type": "model"}]},
            "flat_graph": {"nodes": {"model.p.a": {}}}, "macros": null}"#;
        let manifest = Manifest::read(text.into()).unwrap();
        let nodes = manifest.map_nodes(|node| format!("{} {}", node.unique_id(), node.resource_type()));
        assert_eq!(
            nodes,
            [
                "model.p.a model",
                "x unknown",
                "source.p.s.t source",
                "thing.p.a semantic_thing"
            ]
        );
        assert_eq!(manifest.quarantined[0].unique_id, "model.p.b");
        assert_eq!(manifest.quarantined[0].reason, "`nodes` has 3 here: expected an object");
        assert_eq!(manifest.metadata.dbt_version.as_deref(), Some("1.12.6"));
        assert_eq!(
            manifest.metadata.generated_at.unwrap().to_rfc3339(),
            "2026-01-01T00:00:00+00:00"
        );
    }

    #[test]
    fn a_repaired_manifest_has_the_same_nodes() {
        let read = |number: &str| {
            let text = format!(
                r#"{{"metadata": {{"dbt_version": "1.12.6"}}, "nodes": {{"a": {{"x": {number}}}, "b": 3}}, "nodes": {{"c": {{}}, "d": 4}}, "macros": {{"m": {{}}}}}}"#
            );
            let manifest = Manifest::read(text.into()).unwrap();
            let nodes = manifest.map_nodes(|node| format!("{} {}", node.unique_id(), node.resource_type()));
            (nodes, manifest.quarantined, manifest.metadata)
        };
        let (nodes, quarantined, metadata) = read("null");
        assert_eq!(nodes, ["c unknown", "m macro"]);
        assert_eq!(read("NaN"), (nodes, quarantined, metadata));
    }

    #[test]
    fn a_project_is_identified_by_its_name_or_its_hash() {
        let of = |name: Option<&str>, id: Option<&str>, packages: &[&str]| {
            let metadata = ManifestMetadata {
                project_name: name.map(str::to_owned),
                project_id: id.map(str::to_owned),
                ..ManifestMetadata::default()
            };
            metadata.project(&packages.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(of(Some("shop"), None, &["other"]).as_deref(), Some("shop"));
        let hash = hex::encode(Md5::digest(b"shop"));
        assert_eq!(of(None, Some(&hash), &["dbt_utils", "shop"]).as_deref(), Some("shop"));
        assert_eq!(of(None, Some(&hash), &["dbt_utils", "other"]), None);
        assert_eq!(of(None, None, &["other"]).as_deref(), Some("other"));
    }

    #[test]
    fn the_last_of_repeated_keys_counts() {
        let text = r#"{"nodes": {"a": {"resource_type": "model"}, "a": {"resource_type": "seed"}}}"#;
        let manifest = Manifest::read(text.into()).unwrap();
        assert_eq!(manifest.map_nodes(|node| node.resource_type().to_owned()), ["seed"]);
    }
}
