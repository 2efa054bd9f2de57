//! The page of a run.

use axum::http::StatusCode;
use bucket::Compressed;
use schemas::{AccountId, Sha256};
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

const TEST: &str = "test.shop.not_null_orders_id.0123456789";

async fn shop() -> Console {
    let console = Console::start().await;
    let nodes = [
        node("model.shop.raw", json!({})),
        node(
            "model.shop.orders",
            json!({"depends_on": {"nodes": ["model.shop.raw"]}}),
        ),
        node(
            "model.shop.report",
            json!({"depends_on": {"nodes": ["model.shop.orders"]}}),
        ),
        node(TEST, json!({"depends_on": {"nodes": ["model.shop.raw"]}})),
    ];
    for run in 1..=2 {
        console.run(100, run, &nodes).await;
    }
    console
        .results(
            100,
            1,
            &[
                ("model.shop.raw", "success", ""),
                ("model.shop.orders", "success", ""),
                ("model.shop.old", "success", ""),
            ],
        )
        .await;
    let second = [
        ("model.shop.raw", "success", ""),
        ("model.shop.orders", "error", "no such column <b>"),
        ("model.shop.report", "skipped", ""),
        (TEST, "fail", "Got 3 results"),
    ];
    console.results(100, 2, &second).await;
    console
        .compiled(100, 2, TEST, "select * from raw where id is null and '<i>' = ''")
        .await;
    sqlx::raw_sql("UPDATE runs SET status = 20 WHERE id = 2; UPDATE run_steps SET command = 'dbt build --select \"<x>\"' WHERE run_id = 2")
        .execute(&console.pool)
        .await
        .unwrap();
    console
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_failed_why_and_what_was_skipped() {
    let console = shop().await;
    let page = console.page("/console/1/runs/2").await;
    let text = text_of(&page);
    for part in [
        "Failures (2)",
        "no such column <b>",
        "Got 3 results",
        "select * from raw where id is null and '<i>' = ''",
        "Skipped (1)",
        "dbt build --select \"<x>\"",
        "Last worked 14 d ago",
        "Never worked before",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !page.contains("<b>") && !page.contains("<i>") && !page.contains("<x>"),
        "{page}"
    );
    let twin = console.twin(&page).await;
    assert_eq!(
        twin["skipped"],
        json!([{"unique_id": "model.shop.orders", "nodes": 1, "unique_ids": ["model.shop.report"]}])
    );
    let path: Vec<&str> = twin["critical_path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["unique_id"].as_str().unwrap())
        .collect();
    assert!(!path.is_empty(), "{twin}");
    assert_eq!(twin["timeline"]["nodes"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_compared_with_the_one_before() {
    let console = shop().await;
    let page = console.page("/console/1/runs/2").await;
    let twin = console.twin(&page).await;
    let comparison = &twin["comparison"];
    assert_eq!(comparison["run_id"], json!(1));
    assert_eq!(
        comparison["status_changed"],
        json!([{"unique_id": "model.shop.orders", "before": "success", "now": "error"}])
    );
    assert_eq!(comparison["added"], json!(["model.shop.report", TEST]));
    assert_eq!(comparison["removed"], json!(["model.shop.old"]));
    assert!(page.contains("/console/1/compare?run=1&amp;with=2"), "{page}");
    let first = console.page("/console/1/runs/1").await;
    assert_eq!(console.twin(&first).await["comparison"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_filtered() {
    let console = shop().await;
    for (filters, nodes) in [
        ("", &["raw", "orders", "report", "not_null_orders_id"][..]),
        ("?type=test", &["not_null_orders_id"]),
        ("?status=skipped", &["report"]),
        ("?name=ORDERS&type=model", &["orders"]),
        ("?name=nothing", &[]),
    ] {
        let page = console.page(&format!("/console/1/runs/2{filters}")).await;
        let (_, results) = page.split_once(r#"id="results""#).unwrap();
        let results = results.split_once("</form>").unwrap().1;
        let found = results
            .split_once(r#"id="files""#)
            .unwrap()
            .0
            .matches("<td class=\"name\">")
            .count();
        assert_eq!(found, nodes.len(), "{filters}");
        for name in nodes {
            assert!(results.contains(&format!("<bdi>{name}</bdi>")), "{filters} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_to_those_who_see_the_run() {
    let console = shop().await;
    let content = b"a file of the run";
    let frame = bytes::Bytes::from(zstd::encode_all(&content[..], 3).unwrap());
    console
        .bucket
        .put_artifact(AccountId(1), Sha256::of(content), Compressed::Bytes(frame))
        .await
        .unwrap();
    sqlx::query("UPDATE artifacts SET sha256 = $1, size = $2, name = 'logs/dbt & <x>.log' WHERE run_id = 2 AND kind = 'manifest'")
        .bind(Sha256::of(content).0)
        .bind(i64::try_from(content.len()).unwrap())
        .execute(&console.pool)
        .await
        .unwrap();
    let page = console.page("/console/1/runs/2").await;
    let (_, rest) = page.split_once(r#"<a href="/console/1/runs/2/artifacts/logs"#).unwrap();
    let address = format!("/console/1/runs/2/artifacts/logs{}", rest.split_once('"').unwrap().0);
    let answer = console.get(&address, ALL).await;
    assert_eq!(
        (answer.status, answer.body.as_bytes()),
        (StatusCode::OK, &content[..]),
        "{address}"
    );
    for key in [OTHER, DEV_ONLY] {
        assert_eq!(console.get(&address, key).await.status, StatusCode::NOT_FOUND, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_others_is_not_found() {
    let console = shop().await;
    for (path, key) in [
        ("/console/1/runs/2", OTHER),
        ("/console/1/runs/2", DEV_ONLY),
        ("/console/1/runs/9", ALL),
        ("/console/1/runs/x", ALL),
    ] {
        assert_eq!(
            console.get(path, key).await.status,
            StatusCode::NOT_FOUND,
            "{path} {key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_many_results_stays_small() {
    let console = shop().await;
    sqlx::raw_sql(
        "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, at, execution_time, doc,
            has_passed, is_success, failure)
         SELECT account_id, environment_id, sha256, 1000 + n, 'test.shop.test_with_a_long_name_' || n || '.0123456789', status, true,
            at + interval '1 second' * n, n % 100, doc, has_passed, is_success, failure
         FROM node_results, generate_series(1, 22500) n WHERE unique_id LIKE 'test%'",
    )
    .execute(&console.pool)
    .await
    .unwrap();
    let page = console.page("/console/1/runs/2").await;
    assert!(page.len() < 300_000, "{} bytes", page.len());
    let text = text_of(&page);
    assert!(
        text.contains("Failures (22502)") && text.contains("Only the nodes that took longest are drawn: 22"),
        "{text}"
    );
    let second = console.page("/console/1/runs/2?failures=2").await;
    assert!(text_of(&second).contains("11–20 of 22502"));
}

/// Adds this many results to the results of a run of the shop.
async fn many_results(console: &Console, run: i64, count: i32) {
    sqlx::query(
        "INSERT INTO node_results (account_id, environment_id, sha256, place, unique_id, status, is_attempt, at, execution_time, doc,
            has_passed, is_success)
         SELECT account_id, environment_id, sha256, 1000 + n, 'model.shop.m' || n, 'success', true, at, 1, doc, true, true
         FROM node_results CROSS JOIN generate_series(1, $2) AS n WHERE sha256 = $1 AND place = 0",
    )
    .bind(Sha256::of(format!("results {run}").as_bytes()).0)
    .bind(count)
    .execute(&console.pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_the_run_before_give_way() {
    let console = shop().await;
    many_results(&console, 2, 60_000).await;
    let overview = async || {
        let answer = console.get("/api/v3/accounts/1/runs/2/overview", ALL).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()["data"].take()
    };
    let both = overview().await;
    assert_eq!(
        (&both["is_whole"], &both["comparison"]["added_total"]),
        (&json!(true), &json!(60_002))
    );
    many_results(&console, 1, 40_000).await;
    let one = overview().await;
    assert_eq!(
        (&one["is_whole"], &one["results_total"], &one["comparison"]),
        (&json!(true), &json!(60_004), &Value::Null)
    );
}
