//! The lineage of an environment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{ALL, Console, DEV_ONLY, OTHER, node, text_of};

const LINEAGE: &str = "/console/1/environments/100/lineage";
const HOSTILE: &str = "model.shop.<img src=x onerror=alert(1)>&\"'";

fn model(unique_id: &str, parents: &[&str], tags: &[&str]) -> Value {
    let name = unique_id.split('.').nth(2).unwrap();
    node(
        unique_id,
        json!({"depends_on": {"nodes": parents}, "fqn": ["shop", "marts", name], "tags": tags}),
    )
}

/// raw -> stg -> orders -> report, and orders -> hostile. The test of orders failed, and the report was skipped.
async fn shop() -> Console {
    let console = Console::start().await;
    let test = "test.shop.unique_orders";
    let nodes = [
        node("source.shop.raw", json!({"name": "raw", "source_name": "crm"})),
        model("model.shop.stg", &["source.shop.raw"], &["daily"]),
        model("model.shop.orders", &["model.shop.stg"], &["daily"]),
        model("model.shop.report", &["model.shop.orders"], &[]),
        model(HOSTILE, &["model.shop.orders"], &[]),
        node(
            test,
            json!({"depends_on": {"nodes": ["model.shop.orders"]}, "attached_node": "model.shop.orders"}),
        ),
        node("macro.shop.cents", json!({})),
    ];
    console.run(100, 1, &nodes).await;
    let results = [
        ("model.shop.stg", "error", "no"),
        ("model.shop.orders", "success", ""),
        ("model.shop.report", "skipped", ""),
        (test, "fail", "Got 1 result"),
    ];
    console.results(100, 1, &results).await;
    console
}

/// The ids that the twin of a page has.
async fn ids(console: &Console, page: &str) -> Vec<String> {
    let twin = console.twin(page).await;
    let nodes = twin["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["unique_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_shown_without_tests() {
    let console = shop().await;
    let page = console.page(LINEAGE).await;
    let text = text_of(&page);
    for part in [
        "5 nodes",
        "1 failed",
        "1 with tests that failed",
        "1 skipped",
        "2 without a result",
        "1 test fails",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("unique_orders") && !text.contains("cents"));
    let shown = [
        HOSTILE,
        "model.shop.orders",
        "model.shop.report",
        "model.shop.stg",
        "source.shop.raw",
    ];
    assert_eq!(ids(&console, &page).await, shown);
    assert_eq!(console.twin(&page).await["nodes"][1]["failing_tests"], 1);
    let with_tests = console.page(&format!("{LINEAGE}?tests=true")).await;
    assert_eq!(ids(&console, &with_tests).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_chooses_nodes_and_levels_add_others() {
    let console = shop().await;
    let select = async |query: &str| {
        let page = console.page(&format!("{LINEAGE}?select={query}")).await;
        ids(&console, &page)
            .await
            .iter()
            .map(|id| id.split('.').nth(2).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(select("tag:daily").await, ["orders", "stg"]);
    assert_eq!(select("tag:daily%20--exclude%20stg&up=0&down=0").await, ["orders"]);
    assert_eq!(select("%2Bstg").await, ["stg", "raw"]);
    assert_eq!(select("model.shop.stg&up=0").await, ["orders", "stg"]);
    assert_eq!(
        select("model.shop.report&up=all&down=0").await,
        ["orders", "report", "stg", "raw"]
    );
    assert_eq!(select("nothing").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_in_focus_is_marked_and_links_add_and_remove_levels() {
    let console = shop().await;
    let page = console.page(&format!("{LINEAGE}?select=model.shop.stg")).await;
    assert_eq!(page.matches("class=\"node selected\"").count(), 1);
    for (up, down) in [
        ("0", "1"),
        ("2", "1"),
        ("all", "1"),
        ("1", "0"),
        ("1", "2"),
        ("1", "all"),
    ] {
        let link = format!("{LINEAGE}?select=model.shop.stg&up={up}&down={down}");
        assert!(page.contains(&link.replace('&', "&amp;")), "{link}");
        console.page(&link).await;
    }
    assert!(page.contains("Not shown: 0 parents, 2 children"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_selection_is_explained() {
    let console = shop().await;
    for (query, reason) in [
        ("select=nomethod%3A%3Cb%3E", "expected one of the methods"),
        (
            "select=--fail",
            "expected `--select` or `--exclude`, got the option `--fail`",
        ),
        ("select=stg&up=-1", "expected a number from 0, or `all`"),
    ] {
        let answer = console.get(&format!("{LINEAGE}?{query}"), ALL).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(!answer.body.contains("<b>"));
        assert!(text_of(&answer.body).contains(reason), "{query}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_as_text_and_lead_to_their_nodes() {
    let console = shop().await;
    let page = console.page(&format!("{LINEAGE}?find=onerror")).await;
    assert!(text_of(&page).contains("<img src=x onerror=alert(1)>&\"'"));
    assert!(!page.contains("<img"));
    assert_eq!(page.matches("class=\"node found\"").count(), 1);
    let encoded = "model.shop.%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%26%22%27";
    assert!(page.contains(&format!("/console/1/environments/100/nodes/{encoded}")));
    let focus = format!("{LINEAGE}?select={encoded}");
    assert!(page.contains(&focus));
    assert_eq!(
        ids(&console, &console.page(&focus).await).await,
        [HOSTILE, "model.shop.orders"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_are_dots_and_the_service_names_them() {
    let console = Console::start().await;
    let id = |number: usize| format!("model.shop.m{number:04}");
    let nodes: Vec<Value> = (0..400)
        .map(|number| model(&id(number), &[id(number / 3).as_str()][..usize::from(number > 0)], &[]))
        .collect();
    console.run(100, 1, &nodes).await;
    let page = console.page(LINEAGE).await;
    assert!(page.contains("class=\"graph dots\"") && !page.contains("class=\"node\""));
    assert!(text_of(&page).contains("300 of 400 nodes are listed"));
    let (graph, _) = page.split_once("<table").unwrap();
    assert!(graph.len() < 400 * 60, "{} bytes", graph.len());
    let near = console.get(&format!("{LINEAGE}/near?select=&x=0&y=0"), ALL).await;
    let near: Value = serde_json::from_str(&near.body).unwrap();
    console.page(near["address"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_are_shown() {
    let console = Console::start().await;
    let nodes = [
        model("model.shop.a", &["model.shop.b"], &[]),
        model("model.shop.b", &["model.shop.a", "model.shop.b"], &[]),
    ];
    console.run(100, 1, &nodes).await;
    assert!(text_of(&console.page(LINEAGE).await).contains("2 nodes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_see_the_environment_see_its_lineage() {
    let console = shop().await;
    for (path, key, status) in [
        (LINEAGE, OTHER, StatusCode::NOT_FOUND),
        (LINEAGE, DEV_ONLY, StatusCode::NOT_FOUND),
        ("/console/1/environments/101/lineage", DEV_ONLY, StatusCode::OK),
        ("/console/1/environments/999/lineage", ALL, StatusCode::NOT_FOUND),
        (
            "/api/v3/accounts/1/environments/100/lineage",
            DEV_ONLY,
            StatusCode::NOT_FOUND,
        ),
        (
            "/console/1/environments/100/lineage/near?x=1&y=1",
            OTHER,
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(console.get(path, key).await.status, status, "{path} {key}");
    }
    let empty = console.page("/console/1/environments/101/lineage").await;
    assert!(text_of(&empty).contains("No manifest of this environment was uploaded yet."));
}
