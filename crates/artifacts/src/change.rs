//! Finds what was changed in a definition, judged as dbt's `state:modified` judges it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::node::NodeContent;
use super::raw::Entries;

/// The fields of a node that dbt derives from `unrendered_config` and from the target, such as `dev` or `prod`.
const RENDERED: [&str; 4] = ["database", "schema", "alias", "config"];

/// Returns the fields that differ between two stored definitions of a node, such as `raw_code` or `config`.
///
/// A build into another target moves every relation, but changes no definition. As in `state:modified` (seen with dbt 1.12), a field
/// that dbt renders for a target therefore counts only if what it is rendered from is not in the file: `unrendered_config`, and
/// `unrendered_schema` and `unrendered_database` of a source.
#[must_use]
pub fn changed_fields(resource_type: &str, old: &[u8], new: &[u8]) -> BTreeSet<String> {
    let [old, new] = [old, new].map(|json| NodeContent::of_stored(resource_type, json).json);
    let [old, new] = [&old, &new].map(|json| fields_of(json));
    let both_have = |key: &str| old.contains_key(key) && new.contains_key(key);
    let is_derived = |key: &str| match (resource_type, key) {
        (_, "relation_name") | ("semantic_model", "node_relation") | ("unit_test", "schema" | "database") => true,
        ("source", "database" | "schema") => both_have("unrendered_schema"),
        ("source", "config") => both_have("unrendered_config"),
        ("source", _) => false,
        _ => RENDERED.contains(&key) && both_have("unrendered_config"),
    };
    let keys = old.keys().chain(new.keys());
    keys.filter(|key| !is_derived(key) && differ(old.get(*key).copied(), new.get(*key).copied()))
        .map(|key| key.to_string())
        .collect()
}

fn fields_of(json: &[u8]) -> BTreeMap<Cow<'_, str>, &RawValue> {
    let entries: Option<Entries<'_>> = serde_json::from_slice(json).ok();
    entries
        .map(|entries| entries.0.into_iter().collect())
        .unwrap_or_default()
}

/// Whether two values differ, apart from the order of keys and white space.
fn differ(old: Option<&RawValue>, new: Option<&RawValue>) -> bool {
    let [old, new] = [old, new].map(|value| value.map(RawValue::get));
    let value = |json: Option<&str>| -> Option<Value> { serde_json::from_str(json?).ok() };
    old != new && (value(old).is_none() || value(old) != value(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(resource_type: &str, old: &str, new: &str) -> Vec<String> {
        let fields = changed_fields(resource_type, old.as_bytes(), new.as_bytes());
        fields.into_iter().collect()
    }

    #[test]
    fn fields_that_differ_are_named() {
        let old = r#"{"a": 1, "b": [1], "c": 3, "e": {"x": 1, "y": 2}, "build_path": "x"}"#;
        let new = r#"{"a": 1, "b": [2], "d": 3, "e": {"y":2, "x":1}, "build_path": "y"}"#;
        assert_eq!(changed("model", old, new), ["b", "c", "d"]);
    }

    #[test]
    fn another_target_changes_nothing() {
        let model = |schema: &str, unrendered: &str| {
            format!(
                r#"{{"schema": "{schema}", "database": "{schema}", "relation_name": "{schema}.a", "config": {{"schema": "{schema}"}},
                    "unrendered_config": {{"schema": "{unrendered}"}}}}"#
            )
        };
        let rule = "{{ target.schema }}";
        assert!(changed("model", &model("dev", rule), &model("prod", rule)).is_empty());
        assert_eq!(
            changed("model", &model("dev", rule), &model("dev", "x")),
            ["unrendered_config"]
        );
        let old = [r#"{"schema": "dev"}"#, r#"{"schema": "prod"}"#];
        assert_eq!(changed("model", old[0], old[1]), ["schema"]);
        assert!(changed("unit_test", old[0], old[1]).is_empty());
    }

    #[test]
    fn a_source_is_compared_by_what_the_project_says() {
        let source = |schema: &str, rest: &str| format!(r#"{{"schema": "{schema}", "unrendered_config": {{}}{rest}}}"#);
        let [dev, prod] =
            ["dev", "prod"].map(|schema| source(schema, r#", "unrendered_schema": "{{ target.schema }}""#));
        assert!(changed("source", &dev, &prod).is_empty());
        assert_eq!(changed("source", &source("dev", ""), &source("prod", "")), ["schema"]);
    }
}
