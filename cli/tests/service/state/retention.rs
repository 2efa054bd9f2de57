//! What `prune` keeps.

use serde_json::json;

use super::{A, B, Environment, build, manifest, time};

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_source_of_an_aspect_is_not_pruned() {
    let mut environment = Environment::start().await;
    let catalog = json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "generated_at": time(1)},
        "nodes": {B: {"unique_id": B, "metadata": {"name": "b"}, "columns": {"id": {"name": "id", "type": "INT", "index": 1}}}},
        "sources": {}, "errors": null,
    });
    let nodes = |code: &str| [(A, json!({"compiled_code": code})), (B, json!({}))];
    environment.send("of_the_catalog", &catalog).await;
    environment
        .send(
            "of_b",
            &manifest(2, &[(A, json!({})), (B, json!({"compiled_code": "of b"}))]),
        )
        .await;
    environment.send("of_nothing", &manifest(3, &nodes("old"))).await;
    environment.send("of_the_success", &build(4, &[(A, "success")])).await;
    environment.send("of_the_attempt", &build(5, &[(A, "error")])).await;
    environment.send("of_a", &manifest(6, &nodes("new"))).await;
    let before = (environment.node(A).await, environment.node(B).await);
    assert_eq!(
        (&before.0["compiled_code"], &before.1["compiled_code"]),
        (&json!("new"), &json!("of b"))
    );
    assert_eq!(before.1["columns"][0]["catalog_type"], "INT");
    let pruned = environment
        .installation
        .command(&["prune", "--account", "1", "--older-than", "0d", "--apply"]);
    let nothing = environment.get("runs/?limit=100").await;
    assert_eq!(nothing.as_array().unwrap().len(), 5, "{pruned} {nothing}");
    assert_eq!((environment.node(A).await, environment.node(B).await), before);
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
