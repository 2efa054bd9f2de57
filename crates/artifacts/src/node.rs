//! A node of a manifest: a model, test, source, macro or anything else with a unique id.

use std::borrow::Cow;

use schemas::Sha256;
use serde_json::value::RawValue;

use super::raw::{Entries, integer, object_of, text, texts};

/// The fields that change with every parse or command although the definition is the same.
const VOLATILE: [&str; 7] = [
    "created_at",
    "build_path",
    "compiled_path",
    "deferred",
    "defer_relation",
    "root_path",
    "compiled",
];

/// More such fields, by the beginning of their names.
const VOLATILE_PREFIXES: [&str; 2] = ["compiled_", "extra_ctes"];

/// The version of the rule that decides which definitions are equal, so that definitions stored under an earlier rule are recognized.
/// Version 1 included the macros that a node calls and the position of a hook. Version 2 does not.
pub const DEFINITION_FORMAT: i16 = 2;

/// A node of any version. Fields are parsed on access. A field of an unexpected type counts as absent, or is converted where its meaning is
/// clear.
pub struct Node<'a> {
    unique_id: Cow<'a, str>,
    resource_type: Cow<'a, str>,
    text: &'a str,
    entries: Entries<'a>,
}

/// The definition of a node without the fields that change with every parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeContent {
    /// The hash of `json`.
    pub sha256: Sha256,
    /// An object with sorted keys and with the raw values from the file.
    pub json: Vec<u8>,
}

/// A column as the node declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name of the column.
    pub name: String,
    /// The description of the column.
    pub description: Option<String>,
    /// The declared data type.
    pub data_type: Option<String>,
}

impl NodeContent {
    /// Converts a stored definition, possibly written under an earlier rule, to the current rule.
    #[must_use]
    pub fn of_stored(resource_type: &str, json: &[u8]) -> Self {
        Node::read("", resource_type, &String::from_utf8_lossy(json)).content()
    }
}

/// The maximum length of a resource type, in bytes. Longer values are ignored, since dbt's own are single words.
const MAX_TYPE_LENGTH: usize = 100;

impl<'a> Node<'a> {
    /// Reads a node from the text of an object. A node with more fields than any node can have is read as one without fields.
    pub(super) fn read(key: &str, resource_type: &str, text: &'a str) -> Self {
        let entries: Entries<'_> = serde_json::from_str(text).unwrap_or_else(|_| Entries(Vec::new()));
        Self {
            text,
            unique_id: entries.text("unique_id").unwrap_or_else(|| Cow::Owned(key.to_owned())),
            resource_type: entries
                .text("resource_type")
                .filter(|stated| stated.len() <= MAX_TYPE_LENGTH)
                .unwrap_or_else(|| Cow::Owned(resource_type.to_owned())),
            entries,
        }
    }

    /// The text of the node as it is in the file.
    pub(super) fn source(&self) -> &'a str {
        self.text
    }

    /// dbt's id, such as `model.shop.orders`.
    #[must_use]
    pub fn unique_id(&self) -> &str {
        &self.unique_id
    }

    /// The resource type, such as `model`.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// The raw JSON of a field, or `None` if the field is absent or null.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.entries.get(key)
    }

    /// The value of a string field.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.entries.text(key)
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        self.text("name")
    }

    /// The dbt package that defines the node.
    #[must_use]
    pub fn package_name(&self) -> Option<Cow<'a, str>> {
        self.text("package_name")
    }

    /// The code with its Jinja: `raw_code`, or `raw_sql` before dbt 1.3.
    #[must_use]
    pub fn raw_code(&self) -> Option<Cow<'a, str>> {
        self.first_text(&["raw_code", "raw_sql"])
    }

    /// The code for the warehouse, if the command compiled the node: `compiled_code`, `compiled_sql` before dbt 1.3, or `injected_sql`
    /// before 0.20, which includes the ephemeral models.
    #[must_use]
    pub fn compiled_code(&self) -> Option<Cow<'a, str>> {
        self.first_text(&["compiled_code", "injected_sql", "compiled_sql"])
    }

    fn first_text(&self, keys: &[&str]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// The raw JSON of the configuration.
    #[must_use]
    pub fn config(&self) -> Option<&'a RawValue> {
        self.raw("config")
    }

    /// The materialization, such as `table`.
    #[must_use]
    pub fn materialized(&self) -> Option<Cow<'a, str>> {
        self.configured("materialized").and_then(text)
    }

    fn configured(&self, key: &str) -> Option<&'a RawValue> {
        self.config().and_then(Entries::of)?.get(key)
    }

    /// The tags of the node, or those of its configuration if it has none of its own.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.raw("tags")
            .or_else(|| self.configured("tags"))
            .map(texts)
            .unwrap_or_default()
    }

    /// The `meta` of the node, or that of its configuration if it has none of its own.
    #[must_use]
    pub fn meta(&self) -> Option<&'a RawValue> {
        self.raw("meta").or_else(|| self.configured("meta"))
    }

    /// The ids of the nodes that this node depends on.
    #[must_use]
    pub fn depends_on_nodes(&self) -> Vec<String> {
        self.depends_on("nodes")
    }

    /// The ids of the macros that this node calls.
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

    /// The node that a generic test checks, which dbt 1.5 and later record. Tests in their own files check everything that they depend on.
    #[must_use]
    pub fn attached_node(&self) -> Option<String> {
        self.text("attached_node").map(Cow::into_owned)
    }

    /// Whether the command that wrote the manifest has compiled or run this node. dbt Core writes the manifest after parsing and again at
    /// the end.
    #[must_use]
    pub fn has_traces(&self) -> bool {
        let is_run_hook = || self.raw("index").and_then(integer).is_some_and(|index| index > 0);
        self.raw("build_path").is_some()
            || self.text("compiled").is_some_and(|compiled| compiled == "true")
            || (self.resource_type == "operation" && is_run_hook())
    }

    /// Whether the node has a `build_path`, even if it is null. Manifests from other sources leave it out.
    #[must_use]
    pub fn says_where_built(&self) -> bool {
        self.entries.0.iter().any(|(key, _)| key == "build_path")
    }

    /// Whether dbt checks the freshness of this source, which requires a limit for its age.
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

    /// dbt's checksum of the file, stored as a string or as an object that also names the algorithm.
    #[must_use]
    pub fn checksum(&self) -> Option<String> {
        let value = self.raw("checksum")?;
        let checksum = match Entries::of(value) {
            Some(entries) => entries.text("checksum"),
            None => text(value),
        };
        checksum.map(Cow::into_owned)
    }

    /// The declared columns, in the order of the file.
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

    /// The definition without the fields that change with every parse or command. Equal definitions have equal hashes.
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
        // The sort is stable, so that the last of repeated keys stays the last, as readers expect.
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
            // Running a hook changes its position, and `--store-failures` gives tests a table.
            || (key == "index" && self.resource_type == "operation")
            || (key == "relation_name" && self.resource_type == "test")
    }
}

/// The dependencies of a node without the macros, since a command adds the macros that it calls.
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
    fn renamed_fields_are_read_alike() {
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
    fn a_test_is_attached_only_to_the_node_that_it_names() {
        let test = node(r#"{"resource_type": "test", "depends_on": {"nodes": ["model.p.b"]}}"#);
        assert_eq!(test.attached_node(), None);
        let named = node(r#"{"resource_type": "test", "attached_node": "model.p.c", "depends_on": {"nodes": []}}"#);
        assert_eq!(named.attached_node().unwrap(), "model.p.c");
    }

    #[test]
    fn compiled_or_run_nodes_have_traces() {
        assert!(node(r#"{"build_path": "target/run/p/a.sql"}"#).has_traces());
        assert!(node(r#"{"compiled": true}"#).has_traces());
        assert!(node(r#"{"build_path": null}"#).says_where_built() && !node("{}").says_where_built());
        assert!(node(r#"{"resource_type": "operation", "index": 1}"#).has_traces());
        assert!(
            !node(r#"{"resource_type": "operation", "index": 0, "build_path": null, "compiled": false}"#).has_traces()
        );
    }

    #[test]
    fn a_source_with_an_age_limit_is_checked() {
        let checked = |freshness: &str| node(&format!(r#"{{"freshness": {freshness}}}"#)).has_freshness();
        assert!(checked(
            r#"{"warn_after": {"count": 12, "period": "hour"}, "error_after": {"count": null}}"#
        ));
        assert!(!checked(r#"{"warn_after": {"count": null}, "error_after": {}}"#));
        assert!(!checked("null"));
    }

    #[test]
    fn the_content_excludes_what_a_command_changes() {
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
    fn the_content_excludes_what_every_parse_changes() {
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
