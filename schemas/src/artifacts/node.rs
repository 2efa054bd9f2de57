//! A node of a manifest: model, test, source, macro or whatever else has a unique id.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::raw::{Entries, integer, object_of, text, texts};
use crate::Sha256;

/// What changes at every parse or with every command though the definition is the same.
const VOLATILE: [&str; 7] = [
    "created_at",
    "build_path",
    "compiled_path",
    "deferred",
    "defer_relation",
    "root_path",
    "compiled",
];

/// The same, by the beginning of the key.
const VOLATILE_PREFIXES: [&str; 2] = ["compiled_", "extra_ctes"];

/// The rule by which definitions are the same, so that those that were stored under an earlier one are known. 1: the macros that a node calls
/// and the place of a hook were part of it. 2: they are not.
pub const DEFINITION_FORMAT: i16 = 2;

/// A node of any version. Fields are read when they are asked for; one of an unexpected type counts as absent, or is read for what it says.
pub struct Node<'a> {
    unique_id: Cow<'a, str>,
    resource_type: Cow<'a, str>,
    text: &'a str,
    entries: Entries<'a>,
}

/// A definition without what changes at every parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeContent {
    /// Of `json`.
    pub sha256: Sha256,
    /// An object with its keys in order, its values as they stand in the file.
    pub json: Vec<u8>,
}

/// A column as a node declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// The declared type.
    pub data_type: Option<String>,
}

impl NodeContent {
    /// A definition that was stored, perhaps under an earlier rule, as the present rule has it.
    #[must_use]
    pub fn of_stored(resource_type: &str, json: &[u8]) -> Self {
        Node::read("", resource_type, &String::from_utf8_lossy(json)).content()
    }
}

/// The longest resource type that is believed, in bytes: dbt's own are words.
const MAX_TYPE_LEN: usize = 100;

impl<'a> Node<'a> {
    /// The text is an object. One of more fields than any node can have is read as one without fields.
    pub(super) fn read(key: &str, resource_type: &str, text: &'a str) -> Self {
        let entries: Entries<'_> = serde_json::from_str(text).unwrap_or_else(|_| Entries(Vec::new()));
        Self {
            text,
            unique_id: entries.text("unique_id").unwrap_or_else(|| Cow::Owned(key.to_owned())),
            resource_type: entries
                .text("resource_type")
                .filter(|told| told.len() <= MAX_TYPE_LEN)
                .unwrap_or_else(|| Cow::Owned(resource_type.to_owned())),
            entries,
        }
    }

    /// All of it as it stands in the file.
    pub(super) fn source(&self) -> &'a str {
        self.text
    }

    /// dbt's id, such as `model.shop.orders`.
    #[must_use]
    pub fn unique_id(&self) -> &str {
        &self.unique_id
    }

    /// Such as `model`.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// A field as it stands in the file; none when it is absent or null.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.entries.get(key)
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.entries.text(key)
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        self.text("name")
    }

    /// The dbt package that defines it.
    #[must_use]
    pub fn package_name(&self) -> Option<Cow<'a, str>> {
        self.text("package_name")
    }

    /// The code with its Jinja: `raw_code`, before dbt 1.3 `raw_sql`.
    #[must_use]
    pub fn raw_code(&self) -> Option<Cow<'a, str>> {
        self.first_text(&["raw_code", "raw_sql"])
    }

    /// The code that the warehouse gets, when the command compiled it: `compiled_code`, before dbt 1.3 `compiled_sql`, before 0.20
    /// with its ephemeral models as `injected_sql`.
    #[must_use]
    pub fn compiled_code(&self) -> Option<Cow<'a, str>> {
        self.first_text(&["compiled_code", "injected_sql", "compiled_sql"])
    }

    fn first_text(&self, keys: &[&str]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// The node's configuration as it stands in the file.
    #[must_use]
    pub fn config(&self) -> Option<&'a RawValue> {
        self.raw("config")
    }

    /// How it is built, such as `table`.
    #[must_use]
    pub fn materialized(&self) -> Option<Cow<'a, str>> {
        self.configured("materialized").and_then(text)
    }

    fn configured(&self, key: &str) -> Option<&'a RawValue> {
        self.config().and_then(Entries::of)?.get(key)
    }

    /// Its tags; those of its configuration where it has none of its own.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.raw("tags")
            .or_else(|| self.configured("tags"))
            .map(texts)
            .unwrap_or_default()
    }

    /// What its authors attached; of its configuration where it has none of its own.
    #[must_use]
    pub fn meta(&self) -> Option<&'a RawValue> {
        self.raw("meta").or_else(|| self.configured("meta"))
    }

    /// The nodes that it is made of.
    #[must_use]
    pub fn depends_on_nodes(&self) -> Vec<String> {
        self.depends_on("nodes")
    }

    /// The macros that it calls.
    #[must_use]
    pub fn depends_on_macros(&self) -> Vec<String> {
        self.depends_on("macros")
    }

    fn depends_on(&self, key: &str) -> Vec<String> {
        let depends_on = self.raw("depends_on").and_then(Entries::of);
        depends_on
            .and_then(|entries| entries.get(key))
            .map(texts)
            .unwrap_or_default()
    }

    /// The node that a test is about, as dbt 1.5 and later say it. Tests of a file of their own are about all that they depend on.
    #[must_use]
    pub fn attached_node(&self) -> Option<String> {
        self.text("attached_node").map(Cow::into_owned)
    }

    /// Whether the command that wrote the manifest has compiled or run it. dbt Core writes the manifest after parsing, and again at the end.
    #[must_use]
    pub fn has_traces(&self) -> bool {
        let is_run_hook = || self.raw("index").and_then(integer).is_some_and(|index| index > 0);
        self.raw("build_path").is_some()
            || self.text("compiled").is_some_and(|compiled| compiled == "true")
            || (self.resource_type == "operation" && is_run_hook())
    }

    /// Whether it says where it was built, if anywhere: manifests of other origin leave that out.
    #[must_use]
    pub fn says_where_built(&self) -> bool {
        self.entries.0.iter().any(|(key, _)| key == "build_path")
    }

    /// Whether dbt is to check how fresh this source is: it says how old it may be.
    #[must_use]
    pub fn has_freshness(&self) -> bool {
        let Some(freshness) = self.raw("freshness").and_then(Entries::of) else {
            return false;
        };
        let limits = ["warn_after", "error_after"].into_iter();
        limits
            .filter_map(|limit| Entries::of(freshness.get(limit)?))
            .any(|limit| limit.get("count").is_some())
    }

    /// The hash that dbt took of the file: a text, or an object with the method beside it.
    #[must_use]
    pub fn checksum(&self) -> Option<String> {
        let value = self.raw("checksum")?;
        let checksum = match Entries::of(value) {
            Some(entries) => entries.text("checksum"),
            None => text(value),
        };
        checksum.map(Cow::into_owned)
    }

    /// Its declared columns in the order of the file.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let Some(columns) = self.raw("columns").and_then(Entries::of) else {
            return Vec::new();
        };
        let column = |(key, value): &(Cow<'a, str>, &'a RawValue)| {
            let entries = Entries::of(value)?;
            Some(Column {
                name: entries.text("name").unwrap_or_else(|| key.clone()).into_owned(),
                description: entries.text("description").map(Cow::into_owned),
                data_type: entries.text("data_type").map(Cow::into_owned),
            })
        };
        columns.0.iter().filter_map(column).collect()
    }

    /// The definition without what changes at every parse or with every command; equal definitions have equal hashes.
    #[must_use]
    pub fn content(&self) -> NodeContent {
        let depends_on = self.raw("depends_on").and_then(without_macros);
        let mut lasting: Vec<(&str, &RawValue)> = self
            .entries
            .0
            .iter()
            .map(|(key, value)| (key.as_ref(), *value))
            .filter(|(key, _)| !self.is_volatile(key))
            .map(|(key, value)| match &depends_on {
                Some(lasting) if key == "depends_on" => (key, lasting.as_ref()),
                _ => (key, value),
            })
            .collect();
        // Stable: of doubled keys the last stays the last, as whoever reads it expects.
        lasting.sort_by_key(|(key, _)| *key);
        let json = object_of(&lasting);
        NodeContent {
            sha256: Sha256::of(&json),
            json,
        }
    }

    fn is_volatile(&self, key: &str) -> bool {
        VOLATILE.contains(&key)
            || VOLATILE_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
            // Running hooks changes their places; `--store-failures` gives tests a table.
            || (key == "index" && self.resource_type == "operation")
            || (key == "relation_name" && self.resource_type == "test")
    }
}

/// What a node depends on but the macros: a command adds those that it calls.
fn without_macros(depends_on: &RawValue) -> Option<Box<RawValue>> {
    let entries = Entries::of(depends_on)?;
    entries.get("macros")?;
    let kept: Vec<(&str, &RawValue)> = entries
        .0
        .iter()
        .map(|(key, value)| (key.as_ref(), *value))
        .filter(|(key, _)| *key != "macros")
        .collect();
    RawValue::from_string(String::from_utf8(object_of(&kept)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &str) -> Node<'_> {
        Node::read("model.p.a", "unknown", json)
    }

    #[test]
    fn renamed_fields_are_one() {
        assert_eq!(
            node(r#"{"raw_sql": "a", "compiled_sql": "b"}"#).raw_code().unwrap(),
            "a"
        );
        let new = node(r#"{"raw_code": "a", "compiled_code": "b"}"#);
        assert_eq!(new.compiled_code().unwrap(), "b");
        assert_eq!(node(r#"{"checksum": "x"}"#).checksum().unwrap(), "x");
        assert_eq!(
            node(r#"{"checksum": {"name": "sha256", "checksum": "x"}}"#)
                .checksum()
                .unwrap(),
            "x"
        );
    }

    #[test]
    fn wrong_types_are_tolerated() {
        let odd = node(
            r#"{"name": 7, "tags": "one", "depends_on": {"nodes": ["model.p.b", null], "macros": null}, "config": {"materialized": true},
                "columns": {"id": {"data_type": "int"}, "odd": 3}, "package_name": {}}"#,
        );
        assert_eq!(odd.name().unwrap(), "7");
        assert_eq!(odd.tags(), ["one"]);
        assert_eq!(odd.depends_on_nodes(), ["model.p.b"]);
        assert_eq!(odd.materialized().unwrap(), "true");
        assert_eq!(odd.columns().len(), 1);
        assert_eq!(odd.package_name(), None);
    }

    #[test]
    fn a_test_is_attached_to_the_node_that_it_names() {
        let test = node(r#"{"resource_type": "test", "depends_on": {"nodes": ["model.p.b"]}}"#);
        assert_eq!(test.attached_node(), None);
        let named = node(r#"{"resource_type": "test", "attached_node": "model.p.c", "depends_on": {"nodes": []}}"#);
        assert_eq!(named.attached_node().unwrap(), "model.p.c");
    }

    #[test]
    fn what_was_compiled_or_run_has_traces() {
        assert!(node(r#"{"build_path": "target/run/p/a.sql"}"#).has_traces());
        assert!(node(r#"{"compiled": true}"#).has_traces());
        assert!(node(r#"{"build_path": null}"#).says_where_built() && !node("{}").says_where_built());
        assert!(node(r#"{"resource_type": "operation", "index": 1}"#).has_traces());
        assert!(
            !node(r#"{"resource_type": "operation", "index": 0, "build_path": null, "compiled": false}"#).has_traces()
        );
    }

    #[test]
    fn a_source_that_says_how_old_it_may_be_is_checked() {
        let checked = |freshness: &str| node(&format!(r#"{{"freshness": {freshness}}}"#)).has_freshness();
        assert!(checked(
            r#"{"warn_after": {"count": 12, "period": "hour"}, "error_after": {"count": null}}"#
        ));
        assert!(!checked(r#"{"warn_after": {"count": null}, "error_after": {}}"#));
        assert!(!checked("null"));
    }

    #[test]
    fn what_a_command_alters_is_no_part_of_the_content() {
        let of = |json: &str| node(json).content();
        let calls = |macros: &str| {
            of(&format!(
                r#"{{"resource_type": "test", "depends_on": {{"macros": {macros}, "nodes": ["model.p.a"]}}, "relation_name": null}}"#
            ))
        };
        assert_eq!(calls("[]"), calls(r#"["macro.dbt.statement"]"#));
        assert_eq!(
            calls("[]").json,
            br#"{"depends_on":{"nodes":["model.p.a"]},"resource_type":"test"}"#
        );
        let hook = |index: u8| of(&format!(r#"{{"resource_type": "operation", "index": {index}}}"#));
        assert_eq!(hook(1), hook(2));
        let model = |relation: &str| {
            of(&format!(
                r#"{{"resource_type": "model", "relation_name": "{relation}"}}"#
            ))
        };
        assert_ne!(model("a"), model("b"));
    }

    #[test]
    fn what_changes_at_every_parse_is_no_part_of_the_content() {
        let one = node(
            r#"{"name": "a", "created_at": 1.5, "compiled_code": "x", "compiled": true, "alias": "b", "root_path": "/x"}"#,
        );
        let other = node(r#"{"alias": "b", "name": "a", "created_at": 2.5, "build_path": "y", "extra_ctes": []}"#);
        assert_eq!(one.content(), other.content());
        assert_eq!(one.content().json, br#"{"alias":"b","name":"a"}"#);
        assert_ne!(
            one.content().sha256,
            node(r#"{"name": "b", "alias": "b"}"#).content().sha256
        );
    }
}
