//! New manifests in one batch, beside the same manifests one by one.

use clock::Clock;
use projector::{Outcome, Projector};
use serde_json::{Map, Value, json};
use testkit::run_command;

use crate::history::{bucket_of, pool_of};
use crate::installation::{BINARY, Installation, prepared};

/// A node of dbt's newest manifest, with compiled code.
fn node(id: &str, code: &str) -> (String, Value) {
    let (resource_type, name) = (id.split('.').next().unwrap(), id.split('.').next_back().unwrap());
    let node = json!({
        "unique_id": id, "resource_type": resource_type, "name": name, "package_name": "p", "compiled_code": code,
        "depends_on": { "nodes": [], "macros": ["macro.p.m"] },
    });
    (id.to_owned(), node)
}

fn manifest(second: u8, nodes: impl IntoIterator<Item = (String, Value)>) -> Vec<u8> {
    let nodes: Map<String, Value> = nodes.into_iter().collect();
    json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.12.0",
            "generated_at": format!("2026-01-02T03:04:{second:02}Z"),
        },
        "nodes": nodes, "sources": {}, "macros": {}, "exposures": {}, "metrics": {},
    })
    .to_string()
    .into_bytes()
}

/// Manifests that have something in common, in ways that one statement for all of them could mistake.
fn manifests() -> Vec<Vec<u8>> {
    let two = || [node("model.p.a", "select 1"), node("model.p.z", "select 2")];
    vec![
        manifest(1, two()),
        // The same nodes at another time.
        manifest(2, two()),
        // One of the nodes, and another.
        manifest(3, [node("model.p.a", "select 1"), node("model.p.b", "select 3")]),
        // The same code, on a node of another type.
        manifest(4, [node("model.p.a", "select 1"), node("snapshot.p.z", "select 2")]),
        // Code that equals the stored list of macros.
        manifest(5, [node("model.p.a", r#"["macro.p.m"]"#)]),
        manifest(6, []),
        // Entries that are not nodes.
        manifest(7, [("model.p.bad".to_owned(), json!(5)), node("model.p.a", "select 1")]),
        manifest(
            8,
            [
                ("model.p.bad".to_owned(), json!(5)),
                ("model.p.worse".to_owned(), json!([])),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn new_manifests_of_a_batch_give_the_same_rows_as_one_by_one() {
    let installation = Installation::of(prepared().await, "ingest").await;
    for account in ["1", "2"] {
        let token = installation.token(account, "read,upload", &[]);
        for (number, manifest) in manifests().into_iter().enumerate() {
            let run = format!("run-{number}");
            installation.upload_manifest(&token, &run, manifest).await;
        }
    }
    let bucket = bucket_of(&installation.system);
    let projector = Projector::new(pool_of(&installation.system), bucket.clone(), Clock::System);
    for id in bucket.list_upload_events().await.unwrap() {
        let event = bucket.get_event(bucket::Journal::Uploads, id).await.unwrap();
        assert!(matches!(projector.apply(&event).await, Ok(Outcome::Applied)), "{id}");
    }
    let rows = async |statement| installation.count(statement).await;
    let snapshots = "SELECT count(*) FROM text_sets WHERE resource_type = 'snapshot' AND text_ids[1] IS NOT NULL";
    assert_eq!(rows(snapshots).await, 4, "code and macros, in two accounts");
    assert_eq!(rows("SELECT count(*) FROM quarantined_nodes").await, 6);
    assert_eq!(rows("SELECT count(*) FROM manifests").await, 16);

    // It applies all of them in one batch, and compares all columns of all tables.
    let rebuilt = run_command(BINARY, &["rebuild"], &installation.system);
    assert_eq!(rebuilt["differences"], json!([]), "{rebuilt:#}");
    assert_eq!(rows("SELECT count(*) FROM nodes").await, 2 * 4);
}
