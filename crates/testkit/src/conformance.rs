//! Whether answers are as dbt's own description of its API says. The description is not ours to give away: where it is not beside the
//! checkout, nothing is checked, and that is said.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::repository_file;

/// The descriptions of v2 and v3.
static DOCUMENTS: OnceLock<Vec<Document>> = OnceLock::new();

struct Document {
    /// Methods in small letters, with templates such as `/api/v2/accounts/{account_id}/runs/`.
    operations: Vec<(String, String)>,
    /// Templates such as `/api/v2/accounts/{account_id}/runs/`, with the schema of the answer.
    routes: Vec<(Vec<String>, Validator)>,
}

/// Checks a successful answer to `GET path` where dbt describes the route. Says whether there was a description.
///
/// # Panics
/// When the answer is not as described.
pub fn check_answer(path: &str, body: &Value) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let routes = DOCUMENTS
        .get_or_init(documents)
        .iter()
        .flat_map(|document| &document.routes);
    // dbt describes this list as one object.
    let is_contradictory = parts.len() == 5 && parts[4] == "connections";
    let described = routes
        .filter(|_| !is_contradictory)
        .filter(|(template, _)| matches(template, &parts))
        // A fixed part says more than a parameter.
        .min_by_key(|(template, _)| template.iter().filter(|part| part.starts_with('{')).count());
    let Some((_, validator)) = described else { return false };
    let errors: Vec<String> = validator
        .iter_errors(body)
        .filter(|error| !is_deviation(error.instance_path().as_str()))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{path} is not as dbt describes it:\n{}",
        errors.join("\n")
    );
    true
}

/// All operations that dbt describes: the method in small letters, and the template of the path.
pub fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let documents = DOCUMENTS.get_or_init(documents).iter();
    let operations = documents.flat_map(|document| &document.operations);
    operations.map(|(method, path)| (method.as_str(), path.as_str()))
}

/// What differs on purpose; docs/dbt-cloud.md says why.
fn is_deviation(place: &str) -> bool {
    // Adapters that dbt Cloud does not have.
    place.ends_with("/connection/type") || place.ends_with("/adapter_version")
}

fn matches(template: &[String], parts: &[&str]) -> bool {
    template.len() == parts.len()
        && template
            .iter()
            .zip(parts)
            .all(|(due, part)| due.starts_with('{') || due == part)
}

#[expect(clippy::print_stderr, reason = "what is skipped is to be seen")]
fn documents() -> Vec<Document> {
    let folder = repository_file("../shared/contract/dbt-cloud");
    let mut documents = Vec::new();
    for name in ["openapi-v2.yaml", "openapi-v3.yaml"] {
        match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => documents.push(Document::read(&text)),
            Err(_) => {
                eprintln!("SKIPPED: answers are not compared with dbt's {name}, which is not beside the checkout")
            }
        }
    }
    documents
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

/// What is not known here is null, where dbt Cloud's description mostly says nothing of null though its answers have it.
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
