//! How many statements a query takes, and whether a whole job of 20,000 nodes is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use testkit::{Service, System, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::data;
use super::hostile::manifest;
use crate::installation::{BINARY, Installation, prepare};

/// The statements of a page of 500 models with parents, tests, columns and execution info, besides the one that begins the transaction.
const MAX_STATEMENTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_models_takes_few_statements_whatever_its_size() {
    let mut system = prepare(System::start().await);
    let statements = Arc::new(AtomicUsize::new(0));
    let address = proxy(system.database.address(), Arc::clone(&statements)).await;
    system
        .variables
        .push(("DB_URL".to_owned(), system.database.url_through(&address)));
    let api = Service::start(BINARY, "api", &system).await;
    system.variables.pop();
    let mut installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", project(600)).await;
    installation.upload_manifest(&token, "run", results(600)).await;
    installation.upload_manifest(&token, "run", catalog(600)).await;
    super::applied(&installation, 3).await;
    let _serve = std::mem::replace(&mut installation.service, api);
    let query = "query ($first: Int) { environment(id: 1) { applied { models(first: $first) { totalCount edges { node {
        uniqueId description rawCode compiledCode catalog { columns { name type description } }
        executionInfo { lastRunStatus executeCompletedAt lastSuccessRunId }
        parents { uniqueId ... on ModelAppliedStateNestedNode { description executionInfo { lastRunStatus } } }
        tests { uniqueId columnName executionInfo { lastRunStatus } } } } }
        again: models(first: $first) { edges { node { name children { name } } } } } } }";
    // Connections that are opened in the background are warmed with statements of their own.
    let mut seen = (0, 0);
    wait_until("all connections are open", async || {
        let now = statements.load(Ordering::SeqCst);
        seen = if now == seen.0 { (now, seen.1 + 1) } else { (now, 0) };
        (seen.1 == 25).then_some(())
    })
    .await;
    let mut counts = Vec::new();
    for first in [1, 50, 500] {
        let (mut least, mut answer) = (usize::MAX, Value::Null);
        // A connection prepares each statement once.
        for _ in 0..5 {
            let before = statements.load(Ordering::SeqCst);
            answer = data(&installation, &token, query, json!({ "first": first })).await;
            least = least.min(statements.load(Ordering::SeqCst) - before);
        }
        counts.push(least);
        let edges = answer["environment"]["applied"]["models"]["edges"].as_array().unwrap();
        assert_eq!(edges.len(), first);
        let last = &edges[first - 1]["node"];
        assert_eq!(last["tests"][0]["executionInfo"]["lastRunStatus"], "pass");
        assert_eq!(last["catalog"]["columns"][0]["type"], "INT");
    }
    let most = counts.iter().copied().max().unwrap();
    assert!(most <= MAX_STATEMENTS + 1, "{counts:?}");
    assert_eq!(counts[1], counts[2], "{counts:?}");
    println!("statements: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_twenty_thousand_nodes_is_answered_in_one_query_for_each_kind() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", project(10_000)).await;
    installation.upload_manifest(&token, "run", results(10_000)).await;
    installation.upload_manifest(&token, "run", catalog(10_000)).await;
    super::applied(&installation, 3).await;
    for (kind, fields) in [
        (
            "models",
            "uniqueId name description status dependsOn rawCode compiledCode columns { name type description tags meta } executionTime tests { uniqueId status }",
        ),
        ("tests", "uniqueId name status dependsOn columnName"),
    ] {
        let started = Instant::now();
        let query = format!("query ($id: BigInt!) {{ job(id: $id) {{ {kind} {{ {fields} }} }} }}");
        let answer = data(&installation, &token, &query, json!({ "id": 1 })).await;
        let nodes = answer["job"][kind].as_array().unwrap();
        assert_eq!(nodes.len(), 10_000);
        assert!(nodes.iter().all(|node| node["status"].is_string()), "{}", nodes[0]);
        println!("{kind}: {:?}", started.elapsed());
    }
    let started = Instant::now();
    let query = "{ environment(id: 1) { applied { lineage(filter: {select: \"+m_9998+\"}) { uniqueId name resourceType ... on LineageNodeWithParents { parentIds } } } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    assert!(answer["environment"]["applied"]["lineage"].as_array().unwrap().len() > 2);
    println!("lineage: {:?}", started.elapsed());
}

/// Models that depend on one another in threes, each with a column and a test.
fn project(models: usize) -> Vec<u8> {
    let mut nodes = serde_json::Map::new();
    for number in 0..models {
        let (name, id) = (format!("m_{number}"), format!("model.p.m_{number}"));
        let parents: Vec<String> = if number % 3 == 0 {
            Vec::new()
        } else {
            vec![format!("model.p.m_{}", number - 1)]
        };
        nodes.insert(id.clone(), json!({"unique_id": id, "resource_type": "model", "name": name, "package_name": "p", "fqn": ["p", name],
            "alias": name, "schema": "main", "database": "db", "original_file_path": format!("models/{name}.sql"),
            "depends_on": {"nodes": parents, "macros": []}, "raw_code": format!("select {number} as id"),
            "compiled_code": format!("select {number} as id"), "compiled": true, "description": format!("Model {number}"), "config": {"materialized": "view"},
            "columns": {"id": {"name": "id", "description": "The id"}}}));
        let test = format!("test.p.unique_m_{number}.x");
        nodes.insert(test.clone(), json!({"unique_id": test, "resource_type": "test", "name": format!("unique_m_{number}"), "package_name": "p",
            "fqn": ["p", "t"], "attached_node": id, "column_name": "id", "depends_on": {"nodes": [id]},
            "test_metadata": {"name": "unique", "kwargs": {"column_name": "id"}}}));
    }
    manifest(Value::Object(nodes))
}

fn results(models: usize) -> Vec<u8> {
    let at = "2026-11-24T10:00:01Z";
    let result = |id: String, status: &str| {
        json!({"unique_id": id, "status": status, "timing": [{"name": "execute", "started_at": at, "completed_at": at}],
            "thread_id": "Thread-1", "execution_time": 0.1, "adapter_response": {}, "message": null, "failures": null})
    };
    let models = 0..models;
    let results: Vec<Value> = models
        .flat_map(|number| {
            [
                result(format!("model.p.m_{number}"), "success"),
                result(format!("test.p.unique_m_{number}.x"), "pass"),
            ]
        })
        .collect();
    let metadata = json!({"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.12.0",
        "generated_at": "2026-11-24T10:00:02Z", "invocation_id": "a"});
    json!({"metadata": metadata, "results": results, "elapsed_time": 1.0, "args": {"which": "build"}})
        .to_string()
        .into_bytes()
}

fn catalog(models: usize) -> Vec<u8> {
    let nodes: serde_json::Map<String, Value> = (0..models)
        .map(|number| {
            let id = format!("model.p.m_{number}");
            let column = json!({"name": "id", "type": "INT", "index": 1, "comment": null});
            let metadata = json!({"type": "VIEW", "schema": "main", "name": format!("m_{number}"), "database": "db", "comment": null, "owner": null});
            (id.clone(), json!({"unique_id": id, "metadata": metadata, "columns": {"id": column}, "stats": {}}))
        })
        .collect();
    let metadata = json!({"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "dbt_version": "1.12.0",
        "generated_at": "2026-11-24T10:00:03Z", "invocation_id": "a"});
    json!({"metadata": metadata, "nodes": nodes, "sources": {}, "errors": null})
        .to_string()
        .into_bytes()
}

/// Forwards to PostgreSQL and counts the messages that execute a statement.
async fn proxy(server: String, statements: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let statements = Arc::clone(&statements);
            tokio::spawn(async move {
                // The first message of a connection has no type.
                let mut has_type = false;
                loop {
                    let kind = if has_type { from_client.read_u8().await.ok()? } else { 0 };
                    let length = from_client.read_u32().await.ok()?;
                    let mut body = vec![0; length as usize - 4];
                    from_client.read_exact(&mut body).await.ok()?;
                    if matches!(kind, b'E' | b'Q') && !body.starts_with(b"ROLLBACK") {
                        statements.fetch_add(1, Ordering::SeqCst);
                    }
                    let mut message = if has_type { vec![kind] } else { Vec::new() };
                    message.extend_from_slice(&length.to_be_bytes());
                    message.extend_from_slice(&body);
                    to_server.write_all(&message).await.ok()?;
                    has_type = true;
                }
                #[expect(unreachable_code, reason = "the loop ends by the question marks")]
                Some(())
            });
        }
    });
    address
}
