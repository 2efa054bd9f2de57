//! The Discovery API, as its clients ask it.

mod documented;
mod environment;
mod hostile;
mod job;
mod lenient;
mod lineage;
mod others;
mod statements;

use reqwest::StatusCode;
use serde_json::{Value, json};

pub(crate) use self::hostile::manifest;
use crate::installation::{Installation, Token};
use crate::nodes::{applied, with_a_build};

/// Sends the body of a request.
async fn send(installation: &Installation, token: &Token, body: String) -> (StatusCode, Value) {
    let url = format!("{}/graphql", installation.service.url);
    let request = installation.client.post(url).bearer_auth(&token.key).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/json");
    (status, answer.json().await.unwrap())
}

/// Asks a query with variables.
async fn ask(installation: &Installation, token: &Token, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let (status, answer) = send(installation, token, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Asks a query that must have no errors, and returns its data.
async fn data(installation: &Installation, token: &Token, query: &str, variables: Value) -> Value {
    let answer = ask(installation, token, query, variables).await;
    assert_eq!(answer["errors"], Value::Null, "{query}: {answer}");
    answer["data"].clone()
}

/// The first error's message.
async fn error(installation: &Installation, token: &Token, query: &str) -> String {
    let answer = ask(installation, token, query, json!({})).await;
    let message = answer["errors"][0]["message"].as_str();
    message.unwrap_or_else(|| panic!("{query}: {answer}")).to_owned()
}

/// The field `name` of all objects of a list.
fn all<'v>(list: &'v Value, name: &str) -> Vec<&'v Value> {
    list.as_array().unwrap().iter().map(|item| &item[name]).collect()
}
