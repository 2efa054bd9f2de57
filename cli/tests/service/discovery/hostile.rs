//! Queries that try to exhaust the service.

use std::fmt::Write as _;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{error, send, with_a_build};
use crate::installation::{Installation, Token};
use crate::limits::peak_resident;

#[tokio::test(flavor = "multi_thread")]
async fn expensive_queries_are_refused_before_they_run() {
    let (installation, token) = with_a_build().await;
    let mut bomb = String::from("{ environment(id: 1) { ...f0 } } fragment f13 on Environment { adapterType }");
    for number in 0..13 {
        write!(
            bomb,
            " fragment f{number} on Environment {{ ...f{0} ...f{0} }}",
            number + 1
        )
        .unwrap();
    }
    let aliases = |count: usize, field: &str| {
        (0..count)
            .map(|number| format!("a{number}: {field} "))
            .collect::<String>()
    };
    let nested = format!(
        "{{ job(id: 1) {{ models {{ {} uniqueId {} }} }} }}",
        "parentsModels { ".repeat(40),
        "} ".repeat(40)
    );
    let schema = format!(
        "{{ __schema {{ types {{ {} name {} }} }} }}",
        "fields { type { ".repeat(6),
        "} } ".repeat(6)
    );
    for (query, expected) in [
        (bomb, "too many fields"),
        (
            format!("{{ {} }}", aliases(21, "environment(id: 1) { adapterType }")),
            "at its root",
        ),
        (
            format!(
                "{{ ...f }} fragment f on Query {{ {} }}",
                aliases(21, "environment(id: 1) { adapterType }")
            ),
            "at its root",
        ),
        (
            format!("{{ environment(id: 1) {{ {} }} }}", aliases(5_001, "adapterType")),
            "too many fields",
        ),
        (
            format!(
                "{{ environment(id: 1) {{ applied {{ {} }} }} }}",
                aliases(21, "searchResults(filter: {query: \"a\"}) { totalCount }")
            ),
            "read one by one: expected at most 20",
        ),
        (
            format!(
                "{{ performance(environmentId: 1) {{ {} }} }}",
                aliases(21, "mostExecutedModels(start: \"2026-11-01\", end: \"2026-11-30\") { uniqueId }")
            ),
            "read one by one: expected at most 20",
        ),
        (nested, "nested too deep"),
        (schema, "nested too deep"),
        (
            format!("{{ __schema {{ {} }} }}", aliases(2, "types { name }")),
            "at most once is allowed",
        ),
        (
            "{ __schema { types { ...a ...b } } } fragment a on __Type { x: fields { name } } fragment b on __Type { y: fields { name } }"
                .to_owned(),
            "at most once is allowed",
        ),
        (
            format!("{{ __schema {{ types {{ fields {{ {} }} }} }} }}", aliases(500, "name")),
            "at most once is allowed",
        ),
        (
            "{ a: __type(name: \"Query\") { fields { type { fields { name } } } } b: __type(name: \"Query\") { name } }".to_owned(),
            "nested too deep",
        ),
        ("{a".repeat(100), "nested too deep"),
        (
            "{ environment(id: 1) { ...f } } fragment f on Environment { ...f }".to_owned(),
            "contains itself",
        ),
        (
            format!(
                "{{ environment(id: 1) {{ adapterType {} }} }}",
                "@skip(if: false) ".repeat(9_000)
            ),
            "too many fields",
        ),
    ] {
        let message = error(&installation, &token, &query).await;
        assert!(message.contains(expected), "{message}");
    }
    let long = json!({ "query": format!("{{ __typename }} #{}", "x".repeat(256 << 10)) }).to_string();
    let (_, answer) = send(&installation, &token, long).await;
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("longer than 256 KiB"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_multiply_end_at_their_limits() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation
        .upload_manifest(&token, "run", layered_manifest(10, 20))
        .await;
    installation.run_with_total(&token, "1", 1).await;
    // Each model of a layer has all models of the layer before as parents: 20 to the power of 9 ways.
    let query = format!(
        "{{ job(id: 1) {{ models {{ {} uniqueId rawCode {} }} }} }}",
        "parentsModels { ".repeat(10),
        "} ".repeat(10)
    );
    let message = error(&installation, &token, &query).await;
    assert!(
        message.contains("larger than 512 MiB") || message.contains("takes too long"),
        "{message}"
    );
    // Each of these fields looks at 3,600 parents before anything is written.
    let aliases: String = (0..2_000)
        .map(|number| format!("a{number}: parentsModels {{ uniqueId }} "))
        .collect();
    let message = error(
        &installation,
        &token,
        &format!("{{ job(id: 1) {{ models {{ {aliases} }} }} }}"),
    )
    .await;
    assert!(message.contains("follows too many relations"), "{message}");
    // Others are answered afterwards.
    assert_eq!(count_models(&installation, &token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn competing_large_answers_share_limited_memory() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let code = "select 1 as number_one;\n".repeat(20_000);
    let model = |number: usize| {
        let id = format!("model.p.m_{number}");
        let node = json!({"unique_id": id, "resource_type": "model", "name": format!("m_{number}"), "package_name": "p",
            "fqn": ["p", number.to_string()], "depends_on": {"nodes": []}, "raw_code": code});
        (id, node)
    };
    let nodes: serde_json::Map<String, Value> = (0..64).map(model).collect();
    installation
        .upload_manifest(&token, "run", manifest(Value::Object(nodes)))
        .await;
    installation.run_with_total(&token, "1", 1).await;
    let before = peak_resident(&installation);
    // An answer has 128 MB.
    let query = "{ job(id: 1) { models { a: rawCode b: rawCode c: rawCode d: rawCode } } }";
    let body = json!({ "query": query }).to_string();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let url = format!("{}/graphql", installation.service.url);
        let request = installation.client.post(url).bearer_auth(&token.key).body(body.clone());
        clients.spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.bytes().await.unwrap().len())
        });
    }
    let answers = clients.join_all().await;
    let whole = answers.iter().filter(|(status, _)| *status == StatusCode::OK);
    assert!(whole.clone().count() > 0, "{answers:?}");
    assert!(whole.clone().all(|(_, length)| *length > 120_000_000), "{answers:?}");
    // The others were asked to try again later.
    let is_expected = |status: &StatusCode| [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(status);
    assert!(answers.iter().all(|(status, _)| is_expected(status)), "{answers:?}");
    let grown = peak_resident(&installation) - before;
    assert!(grown < 700, "{grown} MiB");
    // Others are answered afterwards.
    assert_eq!(count_models(&installation, &token).await, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_query_ends_with_an_error() {
    let (installation, token) = with_a_build().await;
    let slow =
        "CREATE POLICY slow ON read_model.nodes AS RESTRICTIVE TO dbt_api_reader USING (pg_sleep(40) IS NOT NULL)";
    let pool = installation.system.database.pool("postgres");
    sqlx::query(slow).execute(&pool).await.unwrap();
    let query = "{ job(id: 1) { models { rawCode } } }";
    let message = error(&installation, &token, query).await;
    assert!(message.contains("at most 30 s are allowed"), "{message}");
    let usual = "DROP POLICY slow ON read_model.nodes";
    sqlx::query(usual).execute(&pool).await.unwrap();
    let answer = super::data(&installation, &token, query, json!({})).await;
    assert_eq!(answer["job"]["models"].as_array().unwrap().len(), 5);
}

/// The number of models that job 1 shows.
async fn count_models(installation: &Installation, token: &Token) -> usize {
    let query = "{ job(id: 1) { models { uniqueId } } }";
    let answer = super::data(installation, token, query, json!({})).await;
    answer["job"]["models"].as_array().unwrap().len()
}

/// A manifest with layers of models that depend on all models of the layer before.
fn layered_manifest(layers: usize, width: usize) -> Vec<u8> {
    let mut nodes = serde_json::Map::new();
    for layer in 0..layers {
        for index in 0..width {
            let name = format!("m_{layer}_{index}");
            let parents: Vec<String> = match layer {
                0 => Vec::new(),
                _ => (0..width)
                    .map(|parent| format!("model.p.m_{}_{parent}", layer - 1))
                    .collect(),
            };
            let id = format!("model.p.{name}");
            let node = json!({"unique_id": id, "resource_type": "model", "name": name, "package_name": "p", "fqn": ["p", name],
                "depends_on": {"nodes": parents}, "raw_code": "select 1"});
            nodes.insert(id, node);
        }
    }
    manifest(Value::Object(nodes))
}

pub(crate) fn manifest(nodes: Value) -> Vec<u8> {
    let metadata = json!({"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.12.0",
        "generated_at": "2026-11-24T10:00:00Z", "invocation_id": "a", "project_name": "p", "adapter_type": "duckdb"});
    json!({"metadata": metadata, "nodes": nodes, "sources": {}, "macros": {}})
        .to_string()
        .into_bytes()
}
