//! The page of a node.

use axum::http::StatusCode;
use serde_json::json;

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

const ORDERS: &str = "/console/1/environments/100/nodes/model.shop.orders";
const TEST: &str = "test.shop.not_null_orders_id.0123456789";

async fn shop() -> Console {
    let console = Console::start().await;
    let nodes = [
        node(
            "model.shop.orders",
            json!({
                "description": "All *orders*.", "raw_code": "select * from {{ ref('raw') }}", "group": "finance", "access": "public",
                "original_file_path": "models/orders.sql", "relation_name": "db.main.orders", "tags": ["nightly"], "meta": {"tier": 1},
                "config": {"materialized": "incremental"}, "depends_on": {"nodes": ["model.shop.raw"]},
                "columns": {"id": {"name": "id", "data_type": "int", "description": "The **key**"}, "gone": {"name": "gone"}},
            }),
        ),
        node("model.shop.raw", json!({})),
        node(
            "model.shop.report",
            json!({"depends_on": {"nodes": ["model.shop.orders"]}}),
        ),
        node(
            TEST,
            json!({
                "name": "not_null_orders_id", "attached_node": "model.shop.orders", "depends_on": {"nodes": ["model.shop.orders"]},
                "column_name": "id", "test_metadata": {"name": "not_null"},
            }),
        ),
        node(
            "group.shop.finance",
            json!({"owner": {"name": "Ann Lee", "email": "ann@shop.example"}}),
        ),
        node(
            "exposure.shop.board",
            json!({"type": "dashboard", "url": "https://board.example/1", "maturity": "high", "owner": {"name": "Bo"},
                "depends_on": {"nodes": ["model.shop.orders"]}}),
        ),
        node(
            "macro.shop.cents",
            json!({"macro_sql": "{% macro cents(x) %}{{ x }} / 100{% endmacro %}"}),
        ),
        node(
            "metric.shop.revenue",
            json!({"type": "simple", "type_params": {"measure": {"name": "amount"}}, "label": "Revenue"}),
        ),
        node(
            "source.shop.pos.sales",
            json!({"source_name": "pos", "name": "sales", "loader": "fivetran"}),
        ),
    ];
    for run in 1..=3 {
        console.run(100, run, &nodes).await;
    }
    console
        .results(100, 1, &[("model.shop.orders", "success", ""), (TEST, "pass", "")])
        .await;
    console
        .results(
            100,
            2,
            &[("model.shop.orders", "success", ""), (TEST, "fail", "Got 3 results")],
        )
        .await;
    console
        .results(
            100,
            3,
            &[
                ("model.shop.orders", "error", "no such column <b>"),
                ("model.shop.raw", "success", ""),
            ],
        )
        .await;
    console
        .compiled(100, 2, "model.shop.orders", "select * from db.main.raw")
        .await;
    console
        .catalog(100, 2, "model.shop.orders", &[("id", "BIGINT"), ("new", "TEXT")])
        .await;
    console
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_what_is_known_of_a_node_and_its_twin_says_the_same() {
    let console = shop().await;
    let page = console.page(ORDERS).await;
    let text = text_of(&page);
    for part in [
        "orders",
        "models/orders.sql",
        "no such column <b>",
        "incremental",
        "db.main.orders",
        "Ann Lee, ann@shop.example",
        "finance",
        "nightly",
        "tier: 1",
        "All orders.",
        "The key",
        "BIGINT",
        "declared int",
        "not in the warehouse",
        "not declared",
        "BASE TABLE",
        "owned by etl",
        "not_null",
        "select * from {{ ref('raw') }}",
        "select * from db.main.raw",
        "3 results",
        "last success",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(page.contains("All <em>orders</em>."), "{page}");
    let twin = console.twin(&page).await;
    assert_eq!(twin["last_result"]["status"], "error");
    assert_eq!(twin["last_result"]["run_id"], 3);
    assert_eq!(twin["last_success"]["run_id"], 2);
    assert_eq!(twin["group"]["owner"]["name"], "Ann Lee");
    let statuses: Vec<&str> = twin["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["error", "success", "success"]);
    assert_eq!(
        twin["results_of_relatives"],
        json!({"model.shop.raw": {"status": "success", "run_id": 3}})
    );
    assert_eq!(twin["tests"][0]["kind"], "not_null");
    assert_eq!(twin["tests"][0]["column_name"], "id");
    let origins: Vec<(&str, &str, i64)> = twin["origins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["aspect"].as_str().unwrap(),
                one["kind"].as_str().unwrap(),
                one["run_id"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("definition", "manifest", 3),
        ("compiled_code", "manifest", 2),
        ("catalog", "catalog", 2),
        ("last_result", "run_results", 3),
        ("last_success", "run_results", 2),
    ];
    assert_eq!(origins, expected);
    for origin in twin["origins"].as_array().unwrap() {
        assert!(page.contains(origin["event_id"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_tests_relatives_and_runs() {
    let console = shop().await;
    let page = console.page(ORDERS).await;
    let nodes = "/console/1/environments/100/nodes/";
    for id in [
        TEST,
        "model.shop.raw",
        "model.shop.report",
        "group.shop.finance",
        "exposure.shop.board",
    ] {
        assert!(page.contains(&format!("href=\"{nodes}{id}\"")), "{id}");
        console.page(&format!("{nodes}{id}")).await;
    }
    for run in 1..=3 {
        assert!(page.contains(&format!("href=\"/console/1/runs/{run}\"")), "{run}");
        console.page(&format!("/console/1/runs/{run}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_node_has_a_page_with_its_own_facts() {
    let console = shop().await;
    for (id, facts) in [
        (TEST, &["Got 3 results", "not_null_orders_id"][..]),
        (
            "exposure.shop.board",
            &["dashboard", "https://board.example/1", "high", "Bo"],
        ),
        ("macro.shop.cents", &["{% macro cents(x) %}"]),
        ("metric.shop.revenue", &["Revenue", "simple", "\"name\": \"amount\""]),
        ("source.shop.pos.sales", &["pos.sales", "fivetran"]),
        ("group.shop.finance", &["Ann Lee"]),
        ("model.shop.raw", &["raw"]),
    ] {
        let text = text_of(&console.page(&format!("/console/1/environments/100/nodes/{id}")).await);
        for fact in facts {
            assert!(text.contains(fact), "{id}: {fact} is missing: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_does_not_see_is_not_found() {
    let console = shop().await;
    for (path, key) in [
        (ORDERS, OTHER),
        (ORDERS, DEV_ONLY),
        ("/console/1/environments/100/nodes/model.shop.nothing", ALL),
        ("/console/1/environments/101/nodes/model.shop.orders", ALL),
        ("/console/1/environments/200/nodes/model.shop.orders", ALL),
        ("/console/1/environments/x/nodes/model.shop.orders", ALL),
    ] {
        assert_eq!(
            console.get(path, key).await.status,
            StatusCode::NOT_FOUND,
            "{path} with {key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_descriptions_end_as_text() {
    let console = Console::start().await;
    let markup = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    let wide = "wide ".repeat(200_000);
    let id = format!("model.shop.{markup}/../%2e?&#");
    let fields = json!({
        "unique_id": id, "name": markup, "original_file_path": markup, "relation_name": markup, "tags": [markup], "meta": {markup: markup},
        "raw_code": format!("select '{markup}' -- {markup}\n{{{{ {markup} }}}}"), "group": markup, "resource_type": "model",
        "description": format!("{markup}\n\n[link](javascript:alert(3)) ![x](https://c.example/x.png)\n\n\u{202e}right\n\n{wide}"),
        "config": {"materialized": markup},
        "columns": {markup: {"name": markup, "data_type": markup, "description": markup}},
        "depends_on": {"nodes": [format!("model.shop.{markup}")]},
    });
    console.run(100, 1, &[fields]).await;
    console.results(100, 1, &[(&id, "error", markup)]).await;
    let path: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let page = console.page(&format!("/console/1/environments/100/nodes/{path}")).await;
    for part in [
        "<img",
        "onerror=alert(1)>\"",
        "<script>alert",
        "javascript:",
        "c.example",
    ] {
        assert!(!page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
    assert!(text_of(&page).contains(markup));
    assert!(page.contains(r#"<div class="prose" dir="auto">"#) && page.contains("too long to be shown"));
    assert!(page.len() < 100_000, "{} bytes", page.len());
}
