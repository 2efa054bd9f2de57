//! Search in the nodes of an environment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

const SEARCH: &str = "/console/1/environments/100/search";

async fn shop() -> Console {
    let console = Console::start().await;
    let nodes = [
        node("model.shop.orders", json!({"description": "One row for each order"})),
        node(
            "model.shop.stg_orders",
            json!({"columns": {"customer_id": {"description": "Who <b>bought</b> it"}}}),
        ),
        node(
            "model.shop.returns",
            json!({"description": "What came back of the ORDERS", "tags": ["nightly"]}),
        ),
        node("source.shop.raw_orders", json!({})),
        node("test.shop.unique_orders_id", json!({})),
    ];
    console.run(100, 1, &nodes).await;
    console
}

/// What a search finds, in its order.
async fn found(console: &Console, query: &str) -> Vec<String> {
    let page = console.page(&format!("{SEARCH}?q={query}")).await;
    let twin = console.twin(&page).await;
    let hits = twin["hits"].as_array().unwrap().iter();
    let hits: Vec<String> = hits.map(|hit| hit["name"].as_str().unwrap().to_owned()).collect();
    let text = text_of(&page);
    for hit in &hits {
        assert!(text.contains(hit.as_str()), "{hit}: {text}");
    }
    hits
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_come_first() {
    let console = shop().await;
    assert_eq!(
        found(&console, "orders").await,
        ["orders", "stg_orders", "raw_orders", "returns", "unique_orders_id"]
    );
    assert_eq!(found(&console, "Customer").await, ["stg_orders"]);
    assert_eq!(found(&console, "bought").await, ["stg_orders"]);
    assert_eq!(found(&console, "nightly").await, ["returns"]);
    assert_eq!(found(&console, "back%20orders").await, ["returns"]);
    assert_eq!(found(&console, "model.shop.orders").await, ["orders"]);
    assert_eq!(found(&console, "orders&resource_type=source").await, ["raw_orders"]);
    assert_eq!(found(&console, "").await, [""; 0]);
    assert_eq!(found(&console, "%25").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn matches_are_marked_and_texts_are_escaped() {
    let console = shop().await;
    let page = console.page(&format!("{SEARCH}?q=bought")).await;
    assert!(page.contains("Who &lt;b&gt;<mark>bought</mark>&lt;/b&gt; it"), "{page}");
    assert!(page.contains(r#"href="/console/1/environments/100/nodes/model.shop.stg_orders""#));
    let nothing = console
        .page(&format!("{SEARCH}?q=%3Cscript%3Ealert(1)%3C/script%3E"))
        .await;
    assert!(text_of(&nothing).contains("No node has <script>alert(1)</script>"));
    assert!(!nothing.contains("<script>alert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_words_that_were_searched_for_are_marked() {
    let console = shop().await;
    // The ninth word is ignored.
    let page = console.page(&format!("{SEARCH}?q=o+r+d+e+s+o+r+d+_")).await;
    assert!(page.contains("<mark>s</mark>tg_<mark>orders</mark>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_results_have_pages_and_numbers_by_type() {
    let console = Console::start().await;
    let mut nodes: Vec<Value> = (0..70)
        .map(|number| node(&format!("model.shop.m{number:02}"), json!({})))
        .collect();
    nodes.push(node("seed.shop.m", json!({})));
    console.run(100, 1, &nodes).await;
    let first = console.page(&format!("{SEARCH}?q=m")).await;
    assert!(text_of(&first).contains("1–30 of 71"), "{first}");
    assert_eq!(console.twin(&first).await["of_types"], json!({"model": 70, "seed": 1}));
    let last = console.page(&format!("{SEARCH}?q=m&page=3")).await;
    assert!(text_of(&last).contains("61–71 of 71") && text_of(&last).contains("m69"));
    assert_eq!(
        console.twin(&last).await["hits"].as_array().unwrap().len(),
        11,
        "the twin has the same page"
    );
    let beyond = console.page(&format!("{SEARCH}?q=m&page={}", i64::MAX)).await;
    assert!(text_of(&beyond).contains("none of 71"), "{beyond}");
    let long = "x%20".repeat(2_000);
    assert_eq!(
        console.get(&format!("{SEARCH}?q={long}"), ALL).await.status,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_see_the_environment_search_it() {
    let console = shop().await;
    for (path, key, status) in [
        (SEARCH, OTHER, StatusCode::NOT_FOUND),
        (SEARCH, DEV_ONLY, StatusCode::NOT_FOUND),
        ("/console/1/environments/101/search?q=orders", DEV_ONLY, StatusCode::OK),
        (
            "/api/v3/accounts/1/environments/100/search?q=orders",
            DEV_ONLY,
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(console.get(path, key).await.status, status, "{path} {key}");
    }
}
