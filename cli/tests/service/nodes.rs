//! Nodes, their lineage and their changes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{repository_file, wait_until};

use crate::installation::{Installation, Token, newest_manifest};

/// Uploads a manifest, the results of its build and a catalog, all in one run.
pub(crate) async fn with_a_build() -> (Installation, Token) {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "build", newest_manifest()).await;
    for file in ["run_results/v6-1.12.0-build.json", "catalog/v1-1.12.0.json"] {
        let file = std::fs::read(repository_file("fixtures").join(file)).unwrap();
        installation.upload_manifest(&token, "build", file).await;
    }
    applied(&installation, 3).await;
    (installation, token)
}

pub(crate) async fn applied(installation: &Installation, uploads: i64) {
    wait_until("all uploads are applied", async || {
        (installation
            .count("SELECT count(*) FROM artifacts WHERE run_id IS NOT NULL")
            .await
            == uploads)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_shown_with_everything_known_about_it() {
    let (installation, token) = with_a_build().await;
    for scope in ["environments/1", "runs/1"] {
        let path = format!("/api/v2/accounts/1/{scope}/nodes/model.shop.stg_orders/");
        let (status, answer) = installation.get(&token, &path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let node = &answer["data"];
        assert_eq!(node["node"]["resource_type"], "model");
        assert!(node["raw_code"].as_str().unwrap().contains("select"), "{node}");
        let compiled = node["compiled_code"].as_str().unwrap();
        assert!(
            compiled.contains("raw_orders") && !compiled.contains("{{"),
            "{compiled}"
        );
        assert_eq!(node["last_result"]["status"], "success");
        assert_eq!(node["last_result"]["run_id"], 1);
        assert_eq!(node["last_success"]["status"], "success");
        assert_eq!(node["parents"], json!(["seed.shop.raw_orders"]));
        assert!(
            node["children"]
                .as_array()
                .unwrap()
                .contains(&json!("model.shop.orders"))
        );
        let tests = node["tests"].as_array().unwrap();
        let unique = tests
            .iter()
            .find(|test| test["name"] == "unique_stg_orders_order_id")
            .unwrap();
        assert_eq!(unique["last_result"]["status"], "pass");
        let columns = node["columns"].as_array().unwrap();
        let order_id = columns.iter().find(|column| column["name"] == "order_id").unwrap();
        assert_eq!(order_id["is_declared"], true);
        assert!(
            order_id["catalog_type"].is_string() && order_id["index"].is_i64(),
            "{order_id}"
        );
    }
    let (_, skipped) = installation
        .get(&token, "/api/v2/accounts/1/environments/1/nodes/model.shop.customers/")
        .await;
    assert_eq!(skipped["data"]["last_result"]["status"], "skipped");
    assert_eq!(
        skipped["data"]["last_success"],
        Value::Null,
        "a skipped node is not a success"
    );
    for path in [
        "environments/1/nodes/model.shop.nothing",
        "environments/9/nodes/model.shop.orders",
        "runs/9/nodes/x",
    ] {
        let (status, _) = installation
            .send(Method::GET, &token, &format!("/api/v2/accounts/1/{path}"))
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_in_both_orders() {
    let (installation, token) = with_a_build().await;
    let ids = async |query: &str| {
        let path = format!("/api/v2/accounts/1/runs/1/nodes/?resource_type=model&{query}");
        let (_, answer) = installation.get(&token, &path).await;
        assert_eq!(answer["extra"]["pagination"]["total_count"], 5, "{answer}");
        let nodes = answer["data"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| node["unique_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let forwards = ids("").await;
    assert_eq!(forwards.len(), 5);
    let mut backwards = Vec::new();
    for offset in [0, 2, 4] {
        backwards.extend(ids(&format!("order_by=-unique_id&limit=2&offset={offset}")).await);
    }
    backwards.reverse();
    assert_eq!(backwards, forwards);
    assert!(ids("order_by=-unique_id&offset=5").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lineage_goes_upstream_and_downstream() {
    let (installation, token) = with_a_build().await;
    let lineage = async |query: &str| {
        let path = format!("/api/v2/accounts/1/environments/1/lineage/?unique_id=model.shop.stg_orders{query}");
        let (status, answer) = installation.get(&token, &path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["data"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                (
                    node["unique_id"].as_str().unwrap().to_owned(),
                    node["distance"].as_i64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    let upstream = lineage("&direction=upstream").await;
    assert_eq!(upstream[0], ("seed.shop.raw_orders".to_owned(), -1));
    let near = lineage("&direction=downstream&depth=1").await;
    assert!(near.contains(&("model.shop.orders".to_owned(), 1)), "{near:?}");
    assert!(near.iter().all(|(_, distance)| (0..=1).contains(distance)));
    assert!(lineage("").await.len() > near.len());
    for (query, expected) in [
        ("", 400),
        ("?unique_id=model.shop.nothing", 404),
        ("?unique_id=model.shop.orders&direction=up", 400),
    ] {
        let path = format!("/api/v2/accounts/1/environments/1/lineage/{query}");
        assert_eq!(
            installation.send(Method::GET, &token, &path).await.0,
            expected,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_between_two_manifests_are_listed() {
    let (installation, token) = with_a_build().await;
    // Edited as text, because dbt writes an unchanged definition exactly as before.
    let manifest = String::from_utf8(newest_manifest()).unwrap();
    let (before, orders) = manifest.split_once(r#""model.shop.orders": {"#).unwrap();
    let changed = format!(
        r#"{before}"model.shop.orders": {{{}"#,
        orders.replacen(r#""raw_code": ""#, r#""raw_code": "-- new "#, 1)
    )
    .replace(r#""model.shop.stg_customers": {"#, r#""model.shop.stg_clients": {"#)
    .replace(
        r#""unique_id": "model.shop.stg_customers""#,
        r#""unique_id": "model.shop.stg_clients""#,
    )
    .replace(r#""created_at": 1"#, r#""created_at": 2"#)
    .into_bytes();
    installation.upload_manifest(&token, "changed", changed).await;
    applied(&installation, 4).await;

    for path in [
        "environments/1/changes/?from=1&to=2",
        "environments/1/changes/?from=1",
        "runs/2/changes/?from=1",
    ] {
        let (status, answer) = installation.get(&token, &format!("/api/v2/accounts/1/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let changes: Vec<_> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| {
                (
                    change["unique_id"].as_str().unwrap(),
                    change["change"].as_str().unwrap(),
                    &change["fields"],
                )
            })
            .collect();
        assert_eq!(
            changes,
            [
                ("model.shop.orders", "changed", &json!(["raw_code"])),
                ("model.shop.stg_clients", "added", &json!([])),
                ("model.shop.stg_customers", "removed", &json!([])),
            ],
            "{path}"
        );
        assert_eq!(answer["extra"]["pagination"]["total_count"], 3);
    }
    let (_, none) = installation
        .get(&token, "/api/v2/accounts/1/runs/2/changes/?from=2")
        .await;
    assert_eq!(none["extra"]["pagination"]["total_count"], 0);
    let (status, _) = installation.get(&token, "/api/v2/accounts/1/runs/2/changes/").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    // A build into another target moves all relations, but changes no definition.
    let mut other: Value = serde_json::from_str(&manifest).unwrap();
    for node in other["nodes"].as_object_mut().unwrap().values_mut() {
        node["schema"] = "elsewhere".into();
        node["relation_name"] = "elsewhere.x".into();
    }
    let other = other.to_string().into_bytes();
    installation.upload_manifest(&token, "other_target", other).await;
    applied(&installation, 5).await;
    let (_, none) = installation
        .get(&token, "/api/v2/accounts/1/runs/3/changes/?from=1")
        .await;
    assert_eq!(none["data"], json!([]));
}
