//! Which manifest to defer to.

use reqwest::Method;
use serde_json::json;

use super::{Environment, build, manifest, results};

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_to_defer_to_is_of_a_successful_run() {
    let mut environment = Environment::start().await;
    let of = |minute, name: &str| manifest(minute, &[(name, json!({}))]);
    environment
        .send_with(&[("tag", "latest-manifest")], &of(1, "model.shop.latest"))
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.latest"],
        "it is the only one"
    );
    environment
        .send_zip(&[("manifest.json", &of(0, "model.shop.listed"))])
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.listed"],
        "the manifest of `dbt list`, which makes no run, goes before a tagged one"
    );
    assert_eq!(environment.statuses().await, [] as [i64; 0]);
    let failed = build(2, &[("model.shop.failed", "error")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(2, "model.shop.failed")),
            ("run_results.json", &failed),
        ])
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.failed"],
        "the newest, because no run succeeded"
    );
    let good = build(3, &[("model.shop.good", "success")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(3, "model.shop.good")),
            ("run_results.json", &good),
        ])
        .await;
    let failed = build(4, &[("model.shop.new", "error")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(4, "model.shop.new")),
            ("run_results.json", &failed),
        ])
        .await;
    // The nodes that it defines need not have been built.
    let docs = results(5, json!({"which": "generate"}), &[("model.shop.new", "success")]);
    environment
        .send_zip(&[("manifest.json", &of(5, "model.shop.new")), ("run_results.json", &docs)])
        .await;
    environment
        .send_with(&[("tag", "latest-manifest")], &of(5, "model.shop.latest"))
        .await;
    assert_eq!(environment.deferral("").await, ["model.shop.good"]);
    // A tag `latest-…` is a last resort even if the upload names a run.
    let tagged = [("tag", "latest-manifest"), ("run_id", "r8"), ("dag_id", "nightly")];
    environment.send_with(&tagged, &of(5, "model.shop.latest")).await;
    assert_eq!(environment.deferral("").await, ["model.shop.good"]);
    assert_eq!(
        environment.deferral("&tag=latest-manifest").await,
        ["model.shop.latest"]
    );
    environment.send("r9", &of(6, "model.shop.of_dag")).await;
    assert_eq!(environment.deferral("&dag_id=daily").await, ["model.shop.of_dag"]);
    environment
        .send("r9", &build(7, &[("model.shop.of_dag", "error")]))
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.good"],
        "the run is now known to have failed"
    );
    let project = environment.get("projects/").await[0]["id"].clone();
    let path = format!("/api/private/accounts/1/projects/{project}/manifest/1/");
    let (_, answer) = environment.installation.get(&environment.token, &path).await;
    let href = answer["data"]["manifest_href"].as_str().unwrap();
    let (_, path) = href.split_once("/api/").unwrap();
    let (_, body) = environment
        .installation
        .send(Method::GET, &environment.token, &format!("/api/{path}"))
        .await;
    assert!(String::from_utf8(body).unwrap().contains("model.shop.good"));
}
