//! Node states, compared with an earlier build of dbt-api: results of a large build are projected, and nodes are read.

use std::time::Instant;

use anyhow::{Context, ensure};
use artifacts::Manifest;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::installation::{Installation, median};
use crate::project::{Parse, Project};
use crate::reads::get;
use crate::report::{Goal, Line};

const MODELS: usize = 5_000;

/// How often each build is measured, in turns.
const ROUNDS: usize = 5;

/// How often a page is read in each round.
const READS: usize = 100;

/// The times of one build in a round, in seconds.
#[derive(Default)]
struct Times {
    projections: Vec<f64>,
    pages: Vec<f64>,
    nodes: Vec<f64>,
    repeats: Vec<f64>,
}

pub(crate) async fn measure(binary: &str, before: Option<&str>) -> anyhow::Result<Vec<Line>> {
    let before = before.context("`states` needs an earlier build to compare with: pass it as --before")?;
    let project = Project::new(MODELS)?;
    let manifest = Bytes::from(project.manifest(Parse { number: 0, changed: 0 })?);
    let nodes = Manifest::read(manifest.to_vec())?
        .map_nodes(|node| (node.resource_type().to_owned(), node.unique_id().to_owned()));
    let of_type = |wanted: &str| {
        let found = nodes.iter().find(|(resource_type, _)| resource_type == wanted);
        found.map(|(_, id)| id.clone()).context("no node of this type")
    };
    let model = of_type("model")?;
    let results: Vec<&str> = nodes
        .iter()
        .filter(|(resource_type, _)| ["model", "test", "seed", "snapshot"].contains(&resource_type.as_str()))
        .map(|(_, id)| id.as_str())
        .collect();
    let (mut own, mut peer) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        for (binary, times) in [(before, &mut peer), (binary, &mut own)] {
            round(binary, &project, &manifest, &results, &model, times).await?;
        }
    }
    let line = |what: String, own: Vec<f64>, peer: Vec<f64>| {
        let (own, peer) = (median(own) * 1000.0, median(peer) * 1000.0);
        Line::beside(what, own, "ms", peer, Goal::AtMost(1.1))
    };
    Ok(vec![
        line(
            format!("{} results of a build projected; the build before", results.len()),
            own.projections,
            peer.projections,
        ),
        line(
            "nodes, a page of 100; the build before".to_owned(),
            own.pages,
            peer.pages,
        ),
        line(
            "one node with attempts and catalog; the build before".to_owned(),
            own.nodes,
            peer.nodes,
        ),
        line(
            "the same manifest parsed again; the build before".to_owned(),
            own.repeats,
            peer.repeats,
        ),
    ])
}

async fn round(
    binary: &str,
    project: &Project,
    manifest: &Bytes,
    results: &[&str],
    model: &str,
    times: &mut Times,
) -> anyhow::Result<()> {
    let installation = Installation::migrated_by(binary).await;
    let serve = installation.start("serve").await?;
    let project_file = async |file: Bytes| {
        let (_, event) = installation.upload(&serve, "run", file).await?;
        installation.visible(event).await
    };
    project_file(manifest.clone()).await?;
    project_file(catalog(results)?).await?;
    // The first round makes room in the tables, and loads the code.
    project_file(build(results, 0)?).await?;
    for number in 1..=3 {
        times
            .projections
            .push(project_file(build(results, number)?).await?.as_secs_f64());
        let repeat = project.manifest(Parse { number, changed: 0 })?;
        times.repeats.push(project_file(repeat.into()).await?.as_secs_f64());
    }
    sqlx::query("VACUUM ANALYZE").execute(&installation.owner).await?;
    let base = "/api/v2/accounts/1/environments/1/nodes";
    for (path, seconds) in [
        (format!("{base}/?limit=100&offset=5000"), &mut times.pages),
        (format!("{base}/{model}/"), &mut times.nodes),
    ] {
        get(&installation, &serve, &path).await?;
        for _ in 0..READS {
            let begun = Instant::now();
            get(&installation, &serve, &path).await?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn build(ids: &[&str], number: u64) -> anyhow::Result<Bytes> {
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
            "invocation_id": crate::project::invocation_id(number), "env": {},
        },
        "results": results, "elapsed_time": 60.0, "args": {"which": "build", "invocation_command": "dbt build", "select": []},
    });
    Ok(serde_json::to_vec(&file)?.into())
}

fn catalog(ids: &[&str]) -> anyhow::Result<Bytes> {
    let tables: serde_json::Map<String, Value> = ids
        .iter()
        .filter(|id| id.starts_with("model."))
        .map(|id| {
            let table = json!({
                "metadata": {"type": "BASE TABLE", "schema": "main", "name": id, "database": "db", "comment": null, "owner": null},
                "columns": {"id": {"type": "INTEGER", "index": 1, "name": "id", "comment": null}},
                "stats": {"has_stats": {"id": "has_stats", "label": "Has Stats?", "value": false, "include": false}}, "unique_id": id,
            });
            ((*id).to_owned(), table)
        })
        .collect();
    let file = json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "generated_at": "2026-11-24T09:00:00Z"},
        "nodes": tables, "sources": {}, "errors": null,
    });
    Ok(serde_json::to_vec(&file)?.into())
}
