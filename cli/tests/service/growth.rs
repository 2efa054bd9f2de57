//! Accounts that suddenly become large.

use serde_json::{Value, json};
use testkit::wait_until;

use crate::discovery::manifest;
use crate::installation::{Installation, newest_manifest, prepared};

const NODES: usize = 1_500;

/// Of partitions, because a table that has some cannot be set itself.
const WITHOUT_AUTOVACUUM: &str = "DO $$
DECLARE plain regclass;
BEGIN
    FOR plain IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'read_model'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', plain);
    END LOOP;
END $$";

#[tokio::test(flavor = "multi_thread")]
async fn statistics_know_an_account_as_soon_as_it_is_large() {
    let installation = Installation::of(prepared().await, "serve").await;
    let small = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&small, "run", newest_manifest()).await;
    installation.run_with_total(&small, "1", 1).await;
    // As after a while, but PostgreSQL does nothing by itself from here on.
    let owner = installation.system.database.pool("dbt_api_projector");
    for statement in [WITHOUT_AUTOVACUUM, "ANALYZE read_model.nodes, read_model.node_results"] {
        sqlx::query(statement).execute(&owner).await.unwrap();
    }
    let large = installation.token("2", "read,upload", &[]);
    installation.upload_manifest(&large, "run", manifest(nodes())).await;
    is_known(&installation, "nodes").await;
    installation.upload_manifest(&large, "run", results()).await;
    is_known(&installation, "node_results").await;
}

/// Waits until the statistics of a table count the rows of the account 2.
async fn is_known(installation: &Installation, table: &str) {
    let known = "SELECT tablename::text FROM pg_stats WHERE attname = 'account_id' AND '2' = ANY (most_common_vals::text::text[])";
    wait_until("the statistics are updated", async || {
        let tables: Vec<String> = sqlx::query_scalar(known)
            .fetch_all(&installation.system.database.pool("dbt_api_projector"))
            .await
            .unwrap();
        tables.iter().any(|known| known == table).then_some(())
    })
    .await;
}

fn id(number: usize) -> String {
    format!("model.p.m_{number}")
}

fn nodes() -> Value {
    let model = |number: usize| {
        let node = json!({"unique_id": id(number), "resource_type": "model", "name": format!("m_{number}"), "package_name": "p",
            "fqn": ["p", number.to_string()], "depends_on": {"nodes": []}, "raw_code": "select 1"});
        (id(number), node)
    };
    Value::Object((0..NODES).map(model).collect())
}

fn results() -> Vec<u8> {
    let result = |number: usize| {
        json!({"unique_id": id(number), "status": "success", "timing": [], "thread_id": "Thread-1", "execution_time": 0.1,
            "adapter_response": {}, "message": "OK", "failures": null})
    };
    let results: Vec<Value> = (0..NODES).map(result).collect();
    let metadata = json!({"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.12.0",
        "generated_at": "2026-11-24T10:05:00Z", "invocation_id": "a", "env": {}});
    json!({"metadata": metadata, "results": results, "elapsed_time": 1.0, "args": {"which": "run"}})
        .to_string()
        .into_bytes()
}
