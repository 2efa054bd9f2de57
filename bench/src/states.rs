//! Node states, compared with an earlier build of dbt-api: results of a large build are projected, and nodes are read.

use std::time::Instant;

use anyhow::Context;
use artifacts::Manifest;
use bytes::Bytes;

use crate::files::{build, catalog};
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
    project_file(catalog(project)?).await?;
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
