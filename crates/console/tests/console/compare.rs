//! The comparison of two runs or two environments.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

fn orders(code: &str, columns: Value) -> Value {
    node(
        "model.shop.orders",
        json!({"raw_code": code, "columns": columns, "config": {"materialized": "view"}}),
    )
}

async fn shop() -> Console {
    let console = Console::start().await;
    let same = node("model.shop.same", json!({}));
    let old = orders(
        "select 1\nfrom a\n",
        json!({"id": {"name": "id", "data_type": "int"}, "old": {"name": "old"}}),
    );
    let new = orders(
        "select 2\nfrom a\n",
        json!({"id": {"name": "id", "data_type": "text"}, "new": {"name": "new"}}),
    );
    console
        .run(100, 1, &[old.clone(), same.clone(), node("model.shop.left", json!({}))])
        .await;
    console
        .run(100, 2, &[new, same.clone(), node("model.shop.came", json!({}))])
        .await;
    console.run(101, 3, &[old, same]).await;
    console
        .results(
            100,
            1,
            &[("model.shop.orders", "success", ""), ("model.shop.same", "success", "")],
        )
        .await;
    console
        .results(
            100,
            2,
            &[("model.shop.orders", "error", ""), ("model.shop.same", "success", "")],
        )
        .await;
    console
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_are_compared_by_nodes_code_columns_and_results() {
    let console = shop().await;
    let page = console.page("/console/1/compare?run=1&with=2").await;
    let text = text_of(&page);
    for part in [
        "− select 1",
        "+ select 2",
        "Changed 1",
        "Added 1",
        "Removed 1",
        "came",
        "left",
        "not there",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(!page.contains(">same<"), "{page}");
    assert!(page.contains(r#"href="/console/1/environments/100/nodes/model.shop.orders""#));
    assert!(
        !page.contains(r#"href="/console/1/environments/100/nodes/model.shop.left""#),
        "it has no page any more"
    );
    let twin = console.twin(&page).await;
    let named: Vec<(&str, &str)> = twin["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["unique_id"].as_str().unwrap(), one["change"].as_str().unwrap()))
        .collect();
    assert_eq!(
        named,
        [
            ("model.shop.came", "added"),
            ("model.shop.left", "removed"),
            ("model.shop.orders", "changed")
        ]
    );
    let changed = &twin["nodes"][2];
    assert_eq!(
        changed["fields"],
        json!({"raw_code": {"before": "select 1\nfrom a\n", "now": "select 2\nfrom a\n"}})
    );
    let columns: Vec<&str> = changed["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["id", "new", "old"]);
    let status = json!([{"unique_id": "model.shop.orders", "before": "success", "now": "error"}]);
    assert_eq!(twin["results"]["status_changed"], status);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_environments_are_compared_as_they_are_now() {
    let console = shop().await;
    let page = console.page("/console/1/compare?environment=100&with=101").await;
    let text = text_of(&page);
    assert!(
        text.contains("From Production to Development, as they are now."),
        "{text}"
    );
    assert!(
        text.contains("− select 2") && text.contains("+ select 1") && text.contains("Removed 1"),
        "{text}"
    );
    let twin = console.twin(&page).await;
    assert_eq!(
        (&twin["changed_total"], &twin["added_total"], &twin["results"]),
        (&json!(1), &json!(0), &Value::Null)
    );
    let removed = console
        .page("/console/1/compare?environment=100&with=101&change=removed")
        .await;
    assert!(text_of(&removed).contains("came") && !text_of(&removed).contains("− select 2"));
    assert_eq!(console.twin(&removed).await["nodes"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_comparisons_are_shown_in_pages() {
    let console = Console::start().await;
    let many: Vec<Value> = (0..60)
        .map(|number| node(&format!("model.shop.m{number:02}"), json!({})))
        .collect();
    console.run(100, 1, &many[..1]).await;
    console.run(100, 2, &many).await;
    let first = console.page("/console/1/compare?run=1&with=2").await;
    assert!(first.contains(">m01<") && first.contains(">m25<") && !first.contains(">m26<"));
    let last = console.page("/console/1/compare?run=1&with=2&page=3").await;
    assert!(last.contains(">m59<") && !last.contains(">m50<"));
    assert_eq!(console.twin(&last).await["nodes"].as_array().unwrap().len(), 9);
}

/// Compares two runs with nodes whose definitions differ only by what dbt writes for the target, and one whose code differs.
async fn compared(console: &Console, first: i64, count: usize) -> Value {
    for run in [first, first + 1] {
        let mut nodes: Vec<Value> = (1..count)
            .map(|number| {
                node(
                    &format!("model.shop.m{number:03}"),
                    json!({"build_path": run.to_string()}),
                )
            })
            .collect();
        nodes.push(node("model.shop.a", json!({"raw_code": run.to_string()})));
        console.run(100, run, &nodes).await;
    }
    let path = format!("/api/v3/accounts/1/compare?run={first}&with={}", first + 1);
    let answer = console.get(&path, ALL).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str::<Value>(&answer.body).unwrap()["data"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_definitions_only_the_shown_are_read() {
    let console = Console::start().await;
    let few = compared(&console, 1, 500).await;
    assert_eq!(
        (&few["changed_total"], &few["nodes"][0]["unique_id"]),
        (&json!(1), &json!("model.shop.a"))
    );
    let many = compared(&console, 3, 501).await;
    let nodes = many["nodes"].as_array().unwrap();
    assert_eq!((&many["changed_total"], nodes.len()), (&json!(501), 25));
    assert_eq!(nodes[0]["fields"], json!({"raw_code": {"before": "3", "now": "4"}}));
    assert_eq!(
        (&nodes[1]["change"], &nodes[1]["fields"]),
        (&json!("changed"), &json!({}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_two_that_are_known_there_is_a_form_or_an_error() {
    let console = shop().await;
    let form = text_of(&console.page("/console/1/compare").await);
    assert!(
        form.contains("Compare runs") && form.contains("Compare environments"),
        "{form}"
    );
    for (path, key) in [
        ("/console/1/compare?run=1&with=99", ALL),
        ("/console/1/compare?environment=100&with=200", ALL),
        ("/console/1/compare?run=1&with=2", OTHER),
        ("/console/1/compare?run=1&with=2", DEV_ONLY),
        ("/console/1/compare?environment=100&with=101", DEV_ONLY),
        ("/api/v3/accounts/1/compare?run=1&with=2", DEV_ONLY),
    ] {
        assert_eq!(
            console.get(path, key).await.status,
            StatusCode::NOT_FOUND,
            "{path} with {key}"
        );
    }
    for path in [
        "/api/v3/accounts/1/compare?with=2",
        "/api/v3/accounts/1/compare?run=1&with=2&change=other",
        "/console/1/compare?with=2",
        "/console/1/compare?run=1&environment=100",
    ] {
        assert_eq!(console.get(path, ALL).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let both = "compare?run=1&environment=100&with=2";
    for path in [format!("/api/v3/accounts/1/{both}"), format!("/console/1/{both}")] {
        let answer = console.get(&path, ALL).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(
            answer
                .body
                .contains("invalid `run` and `environment`: expected one of them, got both"),
            "{}",
            answer.body
        );
    }
    let own = text_of(&console.get("/console/1/compare", DEV_ONLY).await.body);
    assert!(!own.contains("Production"), "{own}");
}
