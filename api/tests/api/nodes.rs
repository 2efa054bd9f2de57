//! Answers about the nodes of an environment: the lineage of a selection, and search.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ALL_OF_ACCOUNT_2, Api, DEV_OF_ACCOUNT_1};

const LINEAGE: &str = "/api/v3/accounts/1/environments/100/lineage/";
const SEARCH: &str = "/api/v3/accounts/1/environments/100/search/";

fn ids(list: &Value) -> Vec<&str> {
    let nodes = list.as_array().unwrap().iter();
    nodes.map(|node| node["unique_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_has_a_lineage() {
    let api = Api::start().await;
    let all = api.get(LINEAGE).await.json();
    let nodes = &all["data"]["nodes"];
    assert_eq!(
        ids(nodes),
        ["model.balboa.a", "model.balboa.b", "model.balboa.c", "source.balboa.d"]
    );
    assert_eq!(
        (&all["data"]["up"], &nodes[0]["is_selected"]),
        (&json!(0), &json!(true))
    );
    let one = api.get(&format!("{LINEAGE}?select=model.balboa.b&up=all")).await.json();
    assert_eq!(ids(&one["data"]["nodes"]), ["model.balboa.b"]);
    assert_eq!((&one["data"]["up"], &one["data"]["down"]), (&json!(null), &json!(1)));
    let tests = api.get(&format!("{LINEAGE}?select=resource_type:test")).await.json();
    assert_eq!(ids(&tests["data"]["nodes"]), ["test.balboa.e"]);
    for (query, reason) in [
        ("select=nomethod:x", "expected one of the methods"),
        ("down=x", "invalid `down`: expected a number from 0, or `all`, got `x`"),
    ] {
        let answer = api.get(&format!("{LINEAGE}?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let message = answer.json()["status"]["user_message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_searched() {
    let api = Api::start().await;
    let found = api.get(&format!("{SEARCH}?q=NODE&limit=2&offset=1")).await.json();
    assert_eq!(ids(&found["data"]["hits"]), ["model.balboa.b", "model.balboa.c"]);
    assert_eq!(found["data"]["total_count"], 5);
    assert_eq!(found["data"]["of_types"], json!({"model": 3, "source": 1, "test": 1}));
    let of_type = api.get(&format!("{SEARCH}?q=node_&resource_type=test")).await.json();
    assert_eq!(
        (ids(&of_type["data"]["hits"]), &of_type["data"]["total_count"]),
        (vec!["test.balboa.e"], &json!(1))
    );
    assert_eq!(api.get(SEARCH).await.json()["data"]["total_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_see_the_nodes() {
    let api = Api::start().await;
    for path in [LINEAGE, SEARCH] {
        for key in [ALL_OF_ACCOUNT_2, DEV_OF_ACCOUNT_1] {
            assert_eq!(
                api.request(Method::GET, path, key).await.status,
                StatusCode::NOT_FOUND,
                "{path} {key}"
            );
        }
    }
}
