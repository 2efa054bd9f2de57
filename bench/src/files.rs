//! What dbt writes besides manifests: results and catalogs.

use anyhow::ensure;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::project::{Project, invocation_id};

/// Makes the results of a build of these nodes, all of which succeed.
pub(crate) fn build(ids: &[&str], number: u64) -> anyhow::Result<Bytes> {
    ensure!(!ids.is_empty(), "the project has no nodes");
    let at = format!("2026-11-24T10:{number:02}:00.000000Z");
    let results: Vec<Value> = ids
        .iter()
        .map(|id| {
            let is_test = id.starts_with("test.");
            json!({
                "status": if is_test { "pass" } else { "success" }, "unique_id": id, "thread_id": "Thread-1", "execution_time": 0.25,
                "failures": if is_test { json!(0) } else { Value::Null }, "message": "SELECT 1", "compiled": true,
                "adapter_response": {"_message": "SELECT 1", "code": "SELECT", "rows_affected": 1},
                "compiled_code": "select 1 as id, 2 as amount from somewhere", "relation_name": "db.main.x", "batch_results": null,
                "timing": [{"name": "compile", "started_at": at, "completed_at": at}, {"name": "execute", "started_at": at, "completed_at": at}],
            })
        })
        .collect();
    let file = json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.12.6", "generated_at": at,
            "invocation_id": invocation_id(number), "env": {},
        },
        "results": results, "elapsed_time": 60.0, "args": {"which": "build", "invocation_command": "dbt build", "select": []},
    });
    Ok(serde_json::to_vec(&file)?.into())
}

/// Makes a catalog of the project's models, as DuckDB reports them.
pub(crate) fn catalog(project: &Project) -> anyhow::Result<Bytes> {
    let tables: Map<String, Value> = project
        .tables()
        .map(|(id, name, columns)| {
            let columns: Map<String, Value> = columns
                .into_iter()
                .zip(1..)
                .map(|(name, index)| {
                    let column = json!({"type": "INTEGER", "index": index, "name": name, "comment": null});
                    (name, column)
                })
                .collect();
            let table = json!({
                "metadata": {"type": "BASE TABLE", "schema": "main", "name": name, "database": "shop", "comment": null, "owner": null},
                "columns": columns,
                "stats": {"has_stats": {"id": "has_stats", "label": "Has Stats?", "value": false, "include": false}}, "unique_id": id,
            });
            (id, table)
        })
        .collect();
    let file = json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "generated_at": "2026-11-24T09:00:00Z"},
        "nodes": tables, "sources": {}, "errors": null,
    });
    Ok(serde_json::to_vec(&file)?.into())
}
