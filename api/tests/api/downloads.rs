//! Downloads of a run's artifacts.

use crate::support::{ALL_OF_ACCOUNT_1, Api, MANIFEST, OLDER_RUN_RESULTS, RUN_RESULTS};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, IF_NONE_MATCH};
use axum::http::{Request, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn artifact_names_are_listed() {
    let api = Api::start().await;
    let names = async |path: &str| api.get(&format!("/api/v2/accounts/1/runs/{path}")).await.json()["data"].clone();
    assert_eq!(
        names("1/artifacts/").await,
        json!(["manifest.json", "run_results.json"])
    );
    assert_eq!(names("1/artifacts/?step=2").await, json!(["run_results.json"]));
    assert_eq!(names("3/artifacts/").await, json!([]));
    assert_eq!(
        api.get("/api/v2/accounts/1/runs/77/artifacts/").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_as_they_were_uploaded() {
    let api = Api::start().await;
    let get = async |path: &str| api.get(&format!("/api/v2/accounts/1/runs/1/artifacts/{path}")).await;
    let answer = get("manifest.json").await;
    assert_eq!(answer.body, MANIFEST);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(get("manifest.json/").await.body, MANIFEST);
    assert_eq!(get("run_results.json?raw=true").await.body, RUN_RESULTS);
    assert_eq!(get("run_results.json?raw=true&step=1").await.body, OLDER_RUN_RESULTS);
    assert_eq!(
        get("manifest.json?step=2").await.body,
        MANIFEST,
        "the manifest of the step before"
    );
    for path in [
        "catalog.json",
        "manifest.json?step=0",
        "manifest.json?step=3",
        "compiled/a.sql",
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["status"]["code"], 404);
    }
    assert_eq!(get("manifest.json?step=last").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_results_have_the_variables_of_dbt_cloud() {
    let api = Api::start().await;
    let path = "/api/v2/accounts/1/runs/1/artifacts/run_results.json";
    let extended = api.get(path).await;
    assert_eq!(extended.headers["content-type"], "application/json");
    let stored = api.get(&format!("{path}?raw=true")).await;
    assert_ne!(extended.headers["etag"], stored.headers["etag"]);
    let (mut extended, stored) = (extended.json(), stored.json());
    let variables = extended["metadata"]["env"].take();
    assert_eq!(
        variables,
        json!({"DBT_CLOUD_ACCOUNT_ID": "1", "DBT_CLOUD_PROJECT_ID": "10", "DBT_CLOUD_ENVIRONMENT_ID": "100",
            "DBT_CLOUD_JOB_ID": "5", "DBT_CLOUD_RUN_ID": "1"})
    );
    assert_eq!(extended["results"], stored["results"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_each_file_of_its_newest_run_that_has_it() {
    let api = Api::start().await;
    let get = async |path: &str| api.get(&format!("/api/v2/accounts/1/jobs/{path}")).await;
    assert_eq!(get("5/artifacts/manifest.json").await.body, MANIFEST);
    assert_eq!(get("5/artifacts/run_results.json").await.body, RUN_RESULTS);
    assert_eq!(get("5/artifacts/catalog.json").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get("6/artifacts/manifest.json").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let api = Api::start().await;
    let path = "/api/v2/accounts/1/runs/1/artifacts/manifest.json";
    let etag = api.get(path).await.headers["etag"].clone();
    let request = Request::get(path)
        .header(AUTHORIZATION, format!("Bearer {ALL_OF_ACCOUNT_1}"))
        .header(IF_NONE_MATCH, &etag);
    let answer = api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert!(answer.body.is_empty());
    assert_eq!(answer.headers["etag"], etag);
}
