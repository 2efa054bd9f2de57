//! Uploads can be read back.

use std::collections::BTreeMap;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::installation::{Installation, SLUG, manifests, newest_manifest};

/// Counts a manifest's entries with a plain JSON parser, independently of the project's own code.
fn plain_count(manifest: &[u8]) -> BTreeMap<String, i64> {
    let text = String::from_utf8_lossy(manifest)
        .replace("NaN", "null")
        .replace("Infinity", "null");
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let mut counts = BTreeMap::new();
    for section in [
        "nodes",
        "sources",
        "macros",
        "exposures",
        "groups",
        "metrics",
        "semantic_models",
        "saved_queries",
        "unit_tests",
    ] {
        for node in manifest[section]
            .as_object()
            .into_iter()
            .flat_map(|nodes| nodes.values())
        {
            let singular = section.strip_suffix('s').unwrap();
            let resource_type = node["resource_type"].as_str().unwrap_or(singular);
            *counts.entry(resource_type.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_all_versions_can_be_read_back_with_their_nodes() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    for (runs, (name, manifest)) in (1..).zip(manifests()) {
        let uploaded = installation
            .upload_manifest(&token, &format!("manual__{name}"), manifest.clone())
            .await;
        assert_eq!(uploaded["kind"], "manifest", "{name}");
        let run = installation.run_with_total(&token, "1", runs).await;
        assert_eq!(run["status"], 10, "{name}");
        let path = format!("/api/v2/accounts/1/runs/{}/artifacts/", run["id"]);
        assert_eq!(
            installation.get(&token, &path).await.1["data"],
            serde_json::json!(["manifest.json"]),
            "{name}"
        );
        let (status, body) = installation
            .send(Method::GET, &token, &format!("{path}manifest.json"))
            .await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert!(body == manifest, "{name} was changed");
        for (resource_type, count) in plain_count(&manifest) {
            let path = format!(
                "/api/v2/accounts/1/runs/{}/nodes/?limit=1&resource_type={resource_type}",
                run["id"]
            );
            let (_, nodes) = installation.get(&token, &path).await;
            assert_eq!(
                nodes["extra"]["pagination"]["total_count"], count,
                "{name} {resource_type}"
            );
        }
    }
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_manifest_adds_no_nodes() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let nodes = installation.count("SELECT count(*) FROM nodes").await;
    assert!(nodes > 100);

    // The same project was parsed again: other times, the same definitions.
    let again = String::from_utf8(newest_manifest())
        .unwrap()
        .replace("\"created_at\": 1", "\"created_at\": 2");
    installation.upload_manifest(&token, "second", newest_manifest()).await;
    installation.upload_manifest(&token, "third", again.into_bytes()).await;
    installation.run_with_total(&token, "1", 3).await;
    assert_eq!(installation.count("SELECT count(*) FROM nodes").await, nodes);
    assert_eq!(installation.count("SELECT count(*) FROM manifests").await, 2);
    assert_eq!(
        installation.count("SELECT count(DISTINCT hash) FROM node_sets").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_fields_may_come_in_any_order_or_in_the_query() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = || {
        Part::bytes(newest_manifest())
            .file_name("manifest.json")
            .mime_str("application/json")
            .unwrap()
    };
    let last = Form::new()
        .part("file", file())
        .text("run_id", "a")
        .text("dag_id", "daily")
        .text("environment_slug", SLUG);
    let (status, answer) = installation.upload(&token, last).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let run = installation.run_with_total(&token, "1", 1).await;
    let (_, job) = installation
        .get(&token, &format!("/api/v2/accounts/1/jobs/{}/", run["job_id"]))
        .await;
    assert_eq!(job["data"]["name"], "daily");

    let url = format!(
        "{}//api/v2/datacoves/manifests/?environment_slug={SLUG}&run_id=b",
        installation.service.url
    );
    let form = Form::new().part("file", file());
    let answer = installation
        .client
        .post(url)
        .bearer_auth(&token.key)
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    installation.run_with_total(&token, "1", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_names_the_dag_moves_earlier_uploads_of_its_run() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation
        .upload_manifest(&token, "scheduled__1", newest_manifest())
        .await;
    installation.run_with_total(&token, "1", 1).await;
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("run_id", "scheduled__1")
        .text("dag_id", "daily")
        .part("file", Part::bytes(newest_manifest()).file_name("file"));
    assert_eq!(installation.upload(&token, form).await.0, StatusCode::CREATED);
    let jobs = testkit::wait_until("the run has moved to its DAG", async || {
        let (_, jobs) = installation.get(&token, "/api/v2/accounts/1/jobs/").await;
        (jobs["data"][0]["name"] == "daily").then_some(jobs)
    })
    .await;
    assert_eq!(
        jobs["extra"]["pagination"]["total_count"], 1,
        "the job for unknown DAGs is empty and was removed"
    );
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(installation.count("SELECT count(*) FROM artifacts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_environment_needs_no_slug() {
    let installation = Installation::start().await;
    let bound = installation.token("1", "upload", &["--environment", SLUG]);
    let reader = installation.token("1", "read", &[]);
    let form = Form::new().part("file", Part::bytes(newest_manifest()).file_name("file"));
    let (status, answer) = installation.upload(&bound, form).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let run = installation.run_with_total(&reader, "1", 1).await;
    assert_eq!(run["environment_id"], 1);
}
