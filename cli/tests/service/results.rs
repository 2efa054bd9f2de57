//! What dbt did, according to its run results, catalogs and source freshness.

use std::io::Read;
use std::path::PathBuf;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{repository_file, wait_until};

use crate::installation::{Installation, SLUG, Token, newest_manifest};

const RUN: &str = "scheduled__2026-11-24T11:00:00+00:00";

fn fixture(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(repository_file("fixtures").join(name)).unwrap()).unwrap()
}

fn build() -> Value {
    fixture("run_results/v6-1.12.0-build.json")
}

/// The same build some seconds later, in which this node had this status.
fn retried(unique_id: &str, status: &str, at: &str) -> Value {
    let mut results = build();
    results["metadata"]["invocation_id"] = "11111111-0000-4000-8000-000000000000".into();
    results["metadata"]["generated_at"] = at.into();
    results["args"]["which"] = "retry".into();
    results["args"]["invocation_command"] = "dbt retry".into();
    let mut result = results["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|result| result["unique_id"] == unique_id)
        .unwrap()
        .clone();
    result["status"] = status.into();
    result["failures"] = 0.into();
    result["timing"] = json!([{"name": "execute", "started_at": at, "completed_at": at}]);
    results["results"] = json!([result]);
    results
}

async fn upload(installation: &Installation, token: &Token, run: &str, file: Vec<u8>) -> Value {
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("run_id", run.to_owned())
        .part("file", Part::bytes(file).file_name("file"));
    let (status, answer) = installation.upload(token, form).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["data"].clone()
}

/// Returns the newest run with its steps, once all events are applied.
async fn run_after(installation: &Installation, token: &Token, events: i64) -> Value {
    wait_until("the events are applied", async || {
        let applied = installation
            .count("SELECT count(*) FROM artifacts WHERE run_id IS NOT NULL")
            .await;
        (applied == events).then_some(())
    })
    .await;
    let path = "/api/v2/accounts/1/runs/?order_by=-id&include_related=run_steps";
    installation.get(token, path).await.1["data"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_the_status_of_its_steps() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let (results, docs) = (build(), fixture("run_results/v6-1.12.0-docs-generate.json"));
    upload(&installation, &token, RUN, newest_manifest()).await;
    upload(&installation, &token, RUN, results.to_string().into()).await;
    let run = run_after(&installation, &token, 2).await;
    assert_eq!(run["status"], 20);
    assert_eq!(run["status_humanized"], "Error");
    assert_eq!(run["run_steps"].as_array().unwrap().len(), 1, "one invocation");
    assert_eq!(run["run_steps"][0]["name"], "Invoke dbt with `dbt build`");
    assert_eq!(run["run_steps"][0]["status"], 20);
    assert_eq!(run["finished_at"], "2026-11-24 11:20:41.286585+00:00");
    assert_eq!(run["has_docs_generated"], false);

    upload(&installation, &token, RUN, docs.to_string().into()).await;
    upload(
        &installation,
        &token,
        RUN,
        fixture("catalog/v1-1.12.0.json").to_string().into(),
    )
    .await;
    let run = run_after(&installation, &token, 4).await;
    assert_eq!(run["status"], 20, "generating docs does not hide the failed build");
    assert_eq!(run["has_docs_generated"], true);
    assert_eq!(run["run_steps"][1]["name"], "Invoke dbt with `dbt docs generate`");
    assert_eq!(run["run_steps"][1]["status"], 10);

    let path = |query: &str| {
        format!(
            "/api/v2/accounts/1/runs/{}/artifacts/run_results.json{query}",
            run["id"]
        )
    };
    for (query, which) in [("?step=1", "build"), ("?step=2", "generate"), ("", "build")] {
        let (status, file) = installation.send(Method::GET, &token, &path(query)).await;
        assert_eq!(status, StatusCode::OK);
        let file: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(file["args"]["which"], which, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attempt_at_a_node_counts_in_any_order_of_uploads() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let failed = "unit_test.shop.customers.cents_are_rounded";
    let passes = retried(failed, "pass", "2026-11-24T11:30:00Z").to_string();
    let fails = build().to_string();
    for (run, files) in [("a", [&fails, &passes]), ("b", [&passes, &fails])] {
        for file in files {
            // The same content arrives in two runs, as when a client sends a file of the run before.
            upload(&installation, &token, run, file.clone().into()).await;
        }
    }
    run_after(&installation, &token, 4).await;
    let (_, runs) = installation
        .get(&token, "/api/v2/accounts/1/runs/?include_related=run_steps")
        .await;
    for run in runs["data"].as_array().unwrap() {
        assert_eq!(run["status"], 10, "{run}");
        assert_eq!(run["finished_at"], "2026-11-24 11:30:00.000000+00:00");
        let mut steps: Vec<i64> = run["run_steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["status"].as_i64().unwrap())
            .collect();
        steps.sort_unstable();
        assert_eq!(steps, [10, 20]);
    }
    let (_, errors) = installation.get(&token, "/api/v2/accounts/1/runs/?status=20").await;
    assert_eq!(errors["extra"]["pagination"]["total_count"], 0);
}

/// Counts the results or tables of a file independently of the project's own parsers.
fn plain_count(file: &[u8]) -> i64 {
    let file: Value = serde_json::from_slice(file).unwrap();
    let count = match &file["results"] {
        Value::Array(results) => results.len(),
        _ => ["nodes", "sources"]
            .iter()
            .filter_map(|section| file[section].as_object())
            .map(serde_json::Map::len)
            .sum(),
    };
    i64::try_from(count).unwrap()
}

/// Returns the files of a kind among the fixtures and in the corpus.
fn all_files(kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = [Some(repository_file("fixtures")), testkit::shared_folder("corpus")];
    let entries = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(kind))
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten();
    let mut files: Vec<(PathBuf, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let mut plain = Vec::new();
            if path.extension().is_some_and(|extension| extension == "gz") {
                flate2::read::GzDecoder::new(bytes.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
            } else {
                plain = bytes;
            }
            (path, plain)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn real_files_are_projected_completely() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let pool = installation.system.database.pool("dbt_api_projector");
    let mut sent = Vec::new();
    for kind in ["run_results", "sources", "catalog", "semantic_manifest"] {
        for (path, file) in all_files(kind) {
            let run = format!("run {}", sent.len());
            let accepted = upload(&installation, &token, &run, file.clone()).await;
            assert_eq!(accepted["kind"], kind, "{}", path.display());
            sent.push((path, kind, file, accepted["sha256"].as_str().unwrap().to_owned()));
        }
    }
    run_after(&installation, &token, i64::try_from(sent.len()).unwrap()).await;
    for (path, kind, file, sha256) in &sent {
        let statement = match *kind {
            "catalog" => {
                "SELECT cardinality(s.node_ids)::bigint FROM catalogs c JOIN catalog_sets s ON s.hash = c.catalog_set
                 WHERE c.sha256 = decode($1, 'hex') AND s.account_id = 1"
            }
            _ => "SELECT count(*) FROM node_results WHERE sha256 = decode($1, 'hex')",
        };
        let count: i64 = sqlx::query_scalar(statement)
            .bind(sha256)
            .fetch_one(&pool)
            .await
            .unwrap();
        let expected = if *kind == "semantic_manifest" {
            0
        } else {
            plain_count(file)
        };
        assert_eq!(count, expected, "{}", path.display());
    }
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}
