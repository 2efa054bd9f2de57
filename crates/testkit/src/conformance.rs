//! Checks answers against dbt's own description of its API, `contract/dbt-cloud` in the folder that `DBT_API_SHARED` names. We may not
//! redistribute the description, so the check is skipped with a message without it.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::shared_folder;

/// The descriptions of v2 and v3.
static DOCUMENTS: OnceLock<Vec<Document>> = OnceLock::new();

struct Document {
    /// Methods in lower case, with path templates such as `/api/v2/accounts/{account_id}/runs/`.
    operations: Vec<(String, String)>,
    /// Path templates such as `/api/v2/accounts/{account_id}/runs/`, with the schema of the answer.
    routes: Vec<(Vec<String>, Validator)>,
}

/// Checks a successful answer to `GET path` if dbt describes the route. Returns whether there is a description.
///
/// # Panics
/// Panics if the answer does not match the description.
pub fn check_answer(path: &str, body: &Value) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let routes = DOCUMENTS
        .get_or_init(documents)
        .iter()
        .flat_map(|document| &document.routes);
    // dbt describes this list as a single object.
    let is_contradictory = parts.len() == 5 && parts[4] == "connections";
    let described = routes
        .filter(|_| !is_contradictory)
        .filter(|(template, _)| matches(template, &parts))
        // A fixed part is more specific than a parameter.
        .min_by_key(|(template, _)| template.iter().filter(|part| part.starts_with('{')).count());
    let Some((_, validator)) = described else { return false };
    let errors: Vec<String> = validator
        .iter_errors(body)
        .filter(|error| !is_deviation(error.instance_path().as_str()))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{path} does not match dbt's description:\n{}",
        errors.join("\n")
    );
    true
}

/// Returns all operations that dbt describes: the method in lower case, and the template of the path.
pub fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let documents = DOCUMENTS.get_or_init(documents).iter();
    let operations = documents.flat_map(|document| &document.operations);
    operations.map(|(method, path)| (method.as_str(), path.as_str()))
}

/// Whether this difference is intended. docs/dbt-cloud.md explains why.
fn is_deviation(path: &str) -> bool {
    // dbt Cloud does not have these adapters.
    path.ends_with("/connection/type") || path.ends_with("/adapter_version")
}

fn matches(template: &[String], parts: &[&str]) -> bool {
    template.len() == parts.len()
        && template
            .iter()
            .zip(parts)
            .all(|(expected, part)| expected.starts_with('{') || expected == part)
}

fn documents() -> Vec<Document> {
    let Some(folder) = shared_folder("contract/dbt-cloud") else {
        return Vec::new();
    };
    let read = |name| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Document::read(&text)
    };
    ["openapi-v2.yaml", "openapi-v3.yaml"].map(read).into()
}

impl Document {
    fn read(text: &str) -> Self {
        let document: Value = serde_yaml_ng::from_str(text).expect("it is YAML");
        let mut components = document["components"].clone();
        for schema in components["schemas"]
            .as_object_mut()
            .expect("there are schemas")
            .values_mut()
        {
            allow_null(schema);
        }
        let paths = document["paths"].as_object().expect("there are paths");
        let routes = paths.iter().filter_map(|(path, methods)| {
            let content = &methods["get"]["responses"]["200"]["content"];
            let schema = content.as_object()?.values().next()?["schema"].as_object()?;
            let mut root = Map::clone(schema);
            root.insert("components".to_owned(), components.clone());
            let template = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
            let validator = jsonschema::draft202012::new(&Value::Object(root)).expect("it is a schema");
            Some((template.collect(), validator))
        });
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flat_map(Map::keys);
            let methods = methods.filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str()));
            methods.map(|method| (method.clone(), path.clone()))
        });
        Self {
            operations: operations.collect(),
            routes: routes.collect(),
        }
    }
}

/// Allows null everywhere. Unknown values are null here. dbt Cloud's description mostly does not mention null, although its answers contain
/// it.
fn allow_null(schema: &mut Value) {
    for keyword in ["properties", "items", "additionalProperties"] {
        match schema.get_mut(keyword) {
            Some(Value::Object(properties)) if keyword == "properties" => {
                for property in properties.values_mut() {
                    allow_null(property);
                    *property = json!({"anyOf": [property.take(), {"type": "null"}]});
                }
            }
            Some(inner @ Value::Object(_)) => allow_null(inner),
            _ => {}
        }
    }
}
