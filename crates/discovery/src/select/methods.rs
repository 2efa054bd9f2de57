//! The methods of dbt's node selection.

use serde_json::Value;

use super::Nodes;
use super::matching::{file_matches, fqn_matches, matches, path_matches};
use crate::error::QueryError;
use crate::graph::NodeIndex;

/// A method and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Method {
    Access(String),
    /// The keys from the top of the configuration, and the value.
    Config(Vec<String>, String),
    /// A resource type whose nodes have a package and a name.
    Named(&'static str, String),
    File(String),
    Fqn(String),
    Group(String),
    Package(String),
    Path(String),
    ResourceType(String),
    Source(String),
    Tag(String),
    TestName(String),
    TestType(String),
    Version(String),
}

/// The resource types that `resource_type:` takes.
const RESOURCE_TYPES: [&str; 12] = [
    "analysis",
    "exposure",
    "function",
    "metric",
    "model",
    "saved_query",
    "seed",
    "semantic_model",
    "snapshot",
    "source",
    "test",
    "unit_test",
];

/// The values that `test_type:` takes.
const TEST_TYPES: [&str; 5] = ["data", "generic", "schema", "singular", "unit"];

/// The values that `version:` takes.
const VERSIONS: [&str; 4] = ["latest", "none", "old", "prerelease"];

/// The resource types that dbt calls nodes.
const NODES: [&str; 7] = [
    "analysis",
    "model",
    "operation",
    "seed",
    "snapshot",
    "sql_operation",
    "test",
];

/// The methods, for messages.
const METHODS: &str = "access, config, exposure, file, fqn, group, metric, package, path, resource_type, saved_query, semantic_model, source, \
    tag, test_name, test_type, unit_test, version";

/// The methods of dbt that need what is not here.
const ELSEWHERE: [&str; 4] = ["result", "selector", "source_status", "state"];

impl Method {
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let is_method =
            |name: &str| !name.is_empty() && name.chars().all(|it| it.is_alphanumeric() || it == '_' || it == '.');
        let (method, value) = match text.split_once(':') {
            Some((method, value)) if is_method(method) => (method, value.to_owned()),
            _ => return Ok(Self::of_plain(text)),
        };
        if value.is_empty() {
            return Err(QueryError::invalid(format!(
                "invalid selection `{text}`: the method `{method}` has no value"
            )));
        }
        let mut keys = method.split('.');
        let name = keys.next().unwrap_or_default();
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        if name == "config" && !keys.is_empty() {
            return Ok(Self::Config(keys, value));
        }
        if !keys.is_empty() || name == "config" {
            let message = format!(
                "invalid selection `{text}`: expected one of {METHODS}, got `{method}`; only `config` has keys, such as `config.materialized:table`"
            );
            return Err(QueryError::invalid(message));
        }
        let parts = value.split('.').count();
        let one_of = |values: &[&str], what: &str| match values.contains(&value.as_str()) {
            true => Ok(()),
            false => Err(QueryError::invalid(format!(
                "invalid selection `{text}`: expected {what} ({}), got `{value}`",
                values.join(", ")
            ))),
        };
        let at_most = |most: usize, form: &str| match parts > most {
            true => Err(QueryError::invalid(format!(
                "invalid selection `{text}`: expected {form}, got `{value}`"
            ))),
            false => Ok(()),
        };
        match name {
            "exposure" | "metric" | "saved_query" | "semantic_model" | "unit_test" => {
                at_most(2, "`name` or `package.name`")?;
            }
            "resource_type" => one_of(&RESOURCE_TYPES, "a resource type")?,
            "source" => at_most(3, "`source`, `source.table` or `package.source.table`")?,
            "test_type" => one_of(&TEST_TYPES, "a type of tests")?,
            "version" => one_of(&VERSIONS, "a state of versions")?,
            _ => {}
        }
        Ok(match name {
            "access" => Self::Access(value),
            "exposure" => Self::Named("exposure", value),
            "file" => Self::File(value),
            "fqn" => Self::Fqn(value),
            "group" => Self::Group(value),
            "metric" => Self::Named("metric", value),
            "package" => Self::Package(value),
            "path" => Self::Path(value),
            "resource_type" => Self::ResourceType(value),
            "saved_query" => Self::Named("saved_query", value),
            "semantic_model" => Self::Named("semantic_model", value),
            "source" => Self::Source(value),
            "tag" => Self::Tag(value),
            "test_name" => Self::TestName(value),
            "test_type" => Self::TestType(value),
            "unit_test" => Self::Named("unit_test", value),
            "version" => Self::Version(value),
            other if ELSEWHERE.contains(&other) => {
                let message = format!(
                    "invalid selection `{text}`: the method `{other}` needs files of a dbt project, which are not here"
                );
                return Err(QueryError::invalid(message));
            }
            other => {
                let message =
                    format!("invalid selection `{text}`: expected one of the methods {METHODS}, got `{other}`");
                return Err(QueryError::invalid(message));
            }
        })
    }

    /// The method that dbt uses for a value without one.
    fn of_plain(text: &str) -> Self {
        let lower = text.to_lowercase();
        let is_file = [".sql", ".py", ".csv"].iter().any(|ending| lower.ends_with(ending));
        if text.contains('/') {
            Self::Path(text.to_owned())
        } else if is_file {
            Self::File(text.to_owned())
        } else {
            Self::Fqn(text.to_owned())
        }
    }

    pub(super) fn needs_configs(&self) -> bool {
        matches!(self, Self::Config(..))
    }

    pub(super) fn matches(&self, nodes: &Nodes<'_>, index: NodeIndex) -> bool {
        let node = nodes.graph.node(index);
        let attributes = &nodes.attributes[index as usize];
        let resource_type = &*node.resource_type;
        let package = node.package_name.as_deref().unwrap_or_default();
        let name = node.name.as_deref().unwrap_or_default();
        let is_node = NODES.contains(&resource_type);
        match self {
            Self::Access(wanted) => resource_type == "model" && attributes.access.as_deref() == Some(wanted),
            Self::Config(keys, wanted) => {
                let config = nodes
                    .configs
                    .get(&index)
                    .filter(|_| is_node || resource_type == "source");
                config.is_some_and(|config| config_has(config, keys, wanted))
            }
            Self::Named(wanted_type, wanted) => *wanted_type == resource_type && is_named(wanted, package, name),
            Self::File(wanted) => {
                let file = attributes.path.rsplit(['/', '\\']).next().unwrap_or_default();
                let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
                matches(wanted, file) || matches(wanted, stem)
            }
            // dbt knows no ids here. Whoever sees one copies it.
            Self::Fqn(wanted) if *nodes.graph.node(index).unique_id == **wanted => true,
            // dbt selects sources, macros and groups only by their own methods, never by a name.
            Self::Fqn(_) if ["source", "macro", "group"].contains(&resource_type) => false,
            Self::Fqn(wanted) => {
                let is_versioned = resource_type == "model" && attributes.version.is_some();
                fqn_matches(wanted, &attributes.fqn, is_versioned)
            }
            Self::Group(wanted) => {
                let group = attributes.group.as_deref();
                (is_node || resource_type == "metric") && group.is_some_and(|group| matches(wanted, group))
            }
            Self::Package(wanted) if wanted == "this" => nodes.project == Some(package),
            Self::Package(wanted) => matches(wanted, package),
            Self::Path(wanted) => {
                let of_patch = attributes.patch_path.as_deref();
                let patch = of_patch.map(|path| path.split_once("://").map_or(path, |(_, path)| path));
                path_matches(wanted, &attributes.path) || patch.is_some_and(|patch| file_matches(wanted, patch))
            }
            Self::ResourceType(wanted) => wanted == resource_type,
            Self::Source(wanted) => {
                let source = attributes.source_name.as_deref().unwrap_or_default();
                resource_type == "source" && is_source(wanted, package, source, name)
            }
            Self::Tag(wanted) => attributes.tags.iter().any(|tag| matches(wanted, tag)),
            // A unit test is called by its own name.
            Self::TestName(wanted) if resource_type == "unit_test" => matches(wanted, name),
            Self::TestName(wanted) => {
                let test = attributes.test_name.as_deref();
                test.is_some_and(|test| matches(wanted, test))
            }
            Self::TestType(wanted) => match wanted.as_str() {
                "unit" => resource_type == "unit_test",
                "data" => resource_type == "test",
                "generic" | "schema" => resource_type == "test" && attributes.test_name.is_some(),
                "singular" => resource_type == "test" && attributes.test_name.is_none(),
                _ => false,
            },
            Self::Version(wanted) => resource_type == "model" && is_of_version(wanted, attributes),
        }
    }
}

/// `name` or `package.name`.
fn is_named(wanted: &str, package: &str, name: &str) -> bool {
    match wanted.split_once('.') {
        Some((of_package, of_name)) => matches(of_package, package) && matches(of_name, name),
        None => matches(wanted, name),
    }
}

/// `source`, `source.table` or `package.source.table`.
fn is_source(wanted: &str, package: &str, source: &str, table: &str) -> bool {
    let parts: Vec<&str> = wanted.split('.').collect();
    match parts[..] {
        [of_source] => matches(of_source, source),
        [of_source, of_table] => matches(of_source, source) && matches(of_table, table),
        [of_package, of_source, of_table] => {
            matches(of_package, package) && matches(of_source, source) && matches(of_table, table)
        }
        _ => false,
    }
}

fn is_of_version(wanted: &str, attributes: &crate::graph::Attributes) -> bool {
    let (version, latest) = (attributes.version.as_deref(), attributes.latest_version.as_deref());
    match (wanted, version) {
        ("none", None) => true,
        ("latest", Some(version)) => latest == Some(version),
        ("old" | "prerelease", Some(version)) => {
            let order = latest.and_then(|latest| order_of_versions(version, latest));
            order
                == Some(if wanted == "old" {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                })
        }
        _ => false,
    }
}

/// Compares versions: by number if both are numbers.
pub(crate) fn order_of_versions(one: &str, other: &str) -> Option<std::cmp::Ordering> {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.partial_cmp(&other),
        _ => Some(one.cmp(other)),
    }
}

/// Whether a configuration has a value, or a list with this value. As in dbt, wildcards and numbers are not understood.
fn config_has(config: &Value, keys: &[String], wanted: &str) -> bool {
    let mut value = config;
    for key in keys {
        match value.get(key.as_str()) {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    let is_severity = keys == ["severity"];
    let is_wanted = |value: &Value| match value {
        Value::String(text) => text == wanted || (is_severity && text.eq_ignore_ascii_case(wanted)),
        Value::Bool(value) => wanted.eq_ignore_ascii_case(&value.to_string()),
        _ => false,
    };
    match value {
        Value::Array(items) => items.iter().any(is_wanted),
        other => is_wanted(other),
    }
}
