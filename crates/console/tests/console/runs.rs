//! The list of runs.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

async fn shop() -> Console {
    let console = Console::start().await;
    let nodes = [node("model.shop.orders", json!({}))];
    for (run, environment) in [(1, 100), (2, 100), (3, 101)] {
        console.run(environment, run, &nodes).await;
    }
    sqlx::raw_sql(
        "UPDATE runs SET status = 20 WHERE id = 2; UPDATE runs SET created_at = '2026-11-12T23:59:59.9Z' WHERE id = 1",
    )
    .execute(&console.pool)
    .await
    .unwrap();
    console
}

/// The numbers of the runs that a page lists.
fn listed(page: &str) -> Vec<i64> {
    let rows = page.split(r#"<tr><td><a href="/console/1/runs/"#).skip(1);
    rows.map(|row| row.split('"').next().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_selects_runs_on_the_page_and_in_its_twin() {
    let console = shop().await;
    for (filters, expected) in [
        ("", &[3, 2, 1][..]),
        ("?environment=100", &[2, 1]),
        ("?environment=&job=6&status=", &[3]),
        ("?status=20", &[2]),
        ("?from=2026-11-12", &[1]),
        ("?from=2026-11-12&to=2026-11-12", &[1]),
        ("?to=2026-11-11", &[3, 2]),
        ("?page=2", &[]),
        ("?from=-4800-01-01&to=%2B262142-12-31", &[3, 2, 1]),
    ] {
        let page = console.page(&format!("/console/1/runs{filters}")).await;
        assert_eq!(listed(&page), expected, "{filters}");
        let twin: Value = console.twin(&page).await;
        let of_twin: Vec<i64> = twin
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["id"].as_i64().unwrap())
            .collect();
        assert_eq!(of_twin, expected, "{filters}");
    }
    assert!(text_of(&console.page("/console/1/runs").await).contains("1–3 of 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_cannot_be_read_is_named() {
    let console = shop().await;
    let answer = console.get("/console/1/runs?from=yesterday", ALL).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(text_of(&answer.body).contains("yesterday"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_the_runs_and_choices_of_its_environments() {
    let console = shop().await;
    let answer = console.get("/console/1/runs", DEV_ONLY).await;
    assert_eq!(listed(&answer.body), [3]);
    assert!(!answer.body.contains("Production"), "{}", answer.body);
    assert_eq!(
        console.get("/console/1/runs", OTHER).await.status,
        StatusCode::NOT_FOUND
    );
}
