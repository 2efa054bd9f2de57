//! `lineage`.

use serde_json::{Value, json};

use super::{all, ask, data, with_a_build};

#[tokio::test(flavor = "multi_thread")]
async fn lineages_have_parents_and_follow_selections() {
    let (installation, token) = with_a_build().await;
    let query = "query ($filter: LineageFilter!) { environment(id: 1) { applied { lineage(filter: $filter) {
        __typename uniqueId name resourceType filePath tags
        ... on LineageNodeWithParents { parentIds } ... on ModelLineageNode { alias schema access materializationType lastRunStatus }
        ... on SourceLineageNode { sourceName } ... on LineageGraphNode { fqn } } } } }";
    let lineage = async |filter: Value| {
        let answer = data(&installation, &token, query, json!({ "filter": filter })).await;
        answer["environment"]["applied"]["lineage"].clone()
    };
    let whole = lineage(json!({})).await;
    assert!(all(&whole, "resourceType").contains(&&json!("SavedQuery")));
    assert!(!all(&whole, "resourceType").contains(&&json!("Macro")));
    let models = lineage(json!({ "types": ["Model", "Source"] })).await;
    let nodes = models.as_array().unwrap();
    assert_eq!(nodes.len(), 6);
    let orders = nodes.iter().find(|node| node["name"] == "orders").unwrap();
    assert_eq!(orders["__typename"], "ModelLineageNode");
    assert_eq!(orders["parentIds"], json!(["model.shop.stg_orders"]));
    assert_eq!(orders["lastRunStatus"], "success");
    assert_eq!(orders["fqn"], json!(["shop", "marts", "orders"]));
    let with_macros = lineage(json!({ "types": ["Model", "Macro"] })).await;
    let parents_of = |id: &str| {
        let nodes = with_macros.as_array().unwrap();
        nodes.iter().find(|node| node["uniqueId"] == id).unwrap()["parentIds"].clone()
    };
    assert_eq!(
        parents_of("model.shop.orders"),
        json!(["model.shop.stg_orders", "macro.dbt.is_incremental"])
    );
    assert_eq!(
        parents_of("macro.dbt.test_unique"),
        json!(["macro.dbt.default__test_unique"])
    );
    let source = nodes
        .iter()
        .find(|node| node["__typename"] == "SourceLineageNode")
        .unwrap();
    assert_eq!(source["sourceName"], "crm");
    for (filter, expected) in [
        (
            json!({"select": "--select stg_customers+", "types": ["Model"]}),
            vec!["model.shop.customers", "model.shop.stg_customers"],
        ),
        (
            json!({"select": "+marts.orders"}),
            vec!["model.shop.orders", "model.shop.stg_orders", "seed.shop.raw_orders"],
        ),
        (
            json!({"select": "tag:staging", "exclude": "--exclude stg_orders"}),
            vec!["model.shop.stg_customers"],
        ),
        (
            json!({"select": "source:crm+1,resource_type:model"}),
            vec!["model.shop.stg_customers"],
        ),
        (
            json!({"select": "config.materialized:seed"}),
            vec!["seed.shop.raw_customers", "seed.shop.raw_orders"],
        ),
        (
            json!({"uniqueIds": ["model.shop.orders"], "select": null}),
            vec!["model.shop.orders"],
        ),
        (
            json!({"select": "path:models/marts/orders.sql"}),
            vec!["model.shop.orders"],
        ),
    ] {
        let found = lineage(filter.clone()).await;
        assert_eq!(all(&found, "uniqueId"), expected, "{filter}");
    }
    let answer = ask(
        &installation,
        &token,
        query,
        json!({"filter": {"select": "state:modified+"}}),
    )
    .await;
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("`state`"),
        "{answer}"
    );
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["environment", "applied", "lineage"])
    );
    // Only what cannot be without the field is null.
    let query = "{ environment(id: 1) { adapterType wrong: applied { models { totalCount } lineage(filter: {select: \"state:new\"}) { name } }
        applied { models { totalCount } } } }";
    let answer = ask(&installation, &token, query, json!({})).await;
    assert_eq!(
        answer["data"]["environment"],
        json!({"adapterType": "duckdb", "wrong": null, "applied": {"models": {"totalCount": 5}}})
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["path"], json!(["environment", "wrong", "lineage"]));
}
