//! The Discovery API: pages compared with the same statements run by pgbench, lineage and selection with the same work in memory, and a
//! client with itself when it reads files.

mod client;
mod memory;
mod search;

use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use testkit::Service;

use crate::files::{build, catalog};
use crate::installation::{Installation, median};
use crate::project::{Parse, Project, name_of};
use crate::reads::{CONNECTIONS, SECONDS, wrk};
use crate::report::{Goal, Line};
use crate::statements::{begin_log, end_log, end_of_log, logged_since, pgbench};

/// The models of the two projects. With tests, sources and exposures they have 23,600 and 94,400 nodes.
const SIZES: [usize; 2] = [5_000, 20_000];

/// How often what takes long is measured.
const ROUNDS: usize = 5;

/// What dbt wrote for a project.
pub(crate) struct Files {
    pub(crate) manifest: Bytes,
    pub(crate) results: Bytes,
    pub(crate) catalog: Bytes,
}

/// A page of models with the last attempts and the columns of the warehouse. It begins after the model with the cursor.
const PAGE: &str =
    "query ($first: Int!, $after: String) { environment(id: 1) { applied { models(first: $first, after: $after) {
    totalCount pageInfo { endCursor hasNextPage } edges { node { uniqueId name description materializedType tags
        executionInfo { lastRunId lastRunStatus lastRunError executeCompletedAt executionTime lastSuccessRunId }
        catalog { type columns { index name type description } } } } } } } }";

/// A page of models with their parents, tests and columns.
const RELATED: &str =
    "query ($first: Int!, $after: String) { environment(id: 1) { applied { models(first: $first, after: $after) {
    edges { node { uniqueId name description
        parents { uniqueId name resourceType }
        tests { uniqueId name columnName executionInfo { lastRunStatus lastRunError } }
        catalog { columns { index name type description } } } } } } } }";

/// All nodes with what a drawing of the lineage needs.
const LINEAGE: &str = "{ environment(id: 1) { applied { lineage(filter: {}) {
    uniqueId name resourceType filePath tags group access materializationType parentIds } } } }";

/// The nodes of a selection.
const SELECTION: &str =
    "query ($select: String!) { environment(id: 1) { applied { lineage(filter: {select: $select}) { uniqueId } } } }";

/// An installation with a run of this many models.
pub(crate) async fn installation_with(binary: &str, models: usize) -> anyhow::Result<(Installation, Files)> {
    let files = files_of(&Project::new(models)?)?;
    let installation = Installation::prepare(binary).await;
    upload(&installation, &files).await?;
    sqlx::query("VACUUM ANALYZE").execute(&installation.owner).await?;
    Ok((installation, files))
}

/// Measures DataHub, which this Python has.
pub(crate) async fn measure_datahub(binary: &str, python: Option<&str>) -> anyhow::Result<Vec<Line>> {
    let python = python.context("`datahub` needs a Python that has DataHub: pass it as --datahub")?;
    let (installation, files) = installation_with(binary, SIZES[0]).await?;
    Ok(vec![client::measure(&installation, python, &files).await?])
}

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for models in SIZES {
        let (installation, files) = installation_with(binary, models).await?;
        lines.extend(of_pages(&installation, models).await?);
        if models == SIZES[0] {
            lines.extend(of_lineage(&installation, &files.manifest).await?);
        } else {
            lines.push(search::measure(&installation, &files.manifest, models).await?);
            lines.push(memory::measure(&installation, models).await?);
        }
    }
    Ok(lines)
}

fn files_of(project: &Project) -> anyhow::Result<Files> {
    let built: Vec<String> = project.built().collect();
    let built: Vec<&str> = built.iter().map(String::as_str).collect();
    Ok(Files {
        manifest: project.manifest(Parse { number: 0, changed: 0 })?.into(),
        results: build(&built, 0)?,
        catalog: catalog(project)?,
    })
}

async fn upload(installation: &Installation, files: &Files) -> anyhow::Result<()> {
    let serve = installation.start("serve").await?;
    for file in [&files.manifest, &files.results, &files.catalog] {
        let (_, event) = installation.upload(&serve, "run", file.clone()).await?;
        installation.visible(event).await?;
    }
    Ok(())
}

async fn of_pages(installation: &Installation, models: usize) -> anyhow::Result<Vec<Line>> {
    let after = format!("model.shop.{}", name_of(models / 2));
    let page = json!({ "query": PAGE, "variables": { "first": 100, "after": after } });
    let related = json!({ "query": RELATED, "variables": { "first": 500, "after": after } });
    let database = &installation.system.database;
    begin_log(database).await?;
    let api = installation.start("api").await?;
    installation.prepared().await?;
    let asker = Asker::of(installation, &api);
    let mut statements = Vec::new();
    for request in [&page, &related] {
        // Before the measurement, because a connection prepares each statement once, and the graph is read once.
        for _ in 0..3 {
            asker.ask(request).await?;
        }
        let begin = end_of_log(database).await?;
        asker.ask(request).await?;
        statements.push(logged_since(database, begin).await?);
    }
    drop(api);
    end_log(database).await?;

    let names = if models == SIZES[0] {
        ["discovery_page", "discovery_relations"]
    } else {
        ["discovery_page_of_more", "discovery_relations_of_more"]
    };
    let api = installation.start("api").await?;
    let peer = pgbench(database, &statements[0], CONNECTIONS, SECONDS)?;
    let own = load(installation, &api, &page, CONNECTIONS)?;
    let of_page = Line::beside(
        format!(
            "100 of {models} models with results and columns, {CONNECTIONS} connections; pgbench with its {} statements",
            statements[0].len()
        ),
        own.per_second,
        "/s",
        peer.per_second,
        Goal::AtLeast(0.5),
    )
    .named(names[0]);
    let peer = pgbench(database, &statements[1], 1, SECONDS)?;
    let own = load(installation, &api, &related, 1)?;
    let of_related = Line::beside(
        format!(
            "500 of {models} models with parents, tests and columns; pgbench with its {} statements",
            statements[1].len()
        ),
        1000.0 / own.per_second,
        "ms",
        1000.0 / peer.per_second,
        Goal::AtMost(2.0),
    )
    .named(names[1]);
    Ok(vec![of_page, of_related])
}

async fn of_lineage(installation: &Installation, manifest: &Bytes) -> anyhow::Result<Vec<Line>> {
    let request = json!({ "query": LINEAGE });
    let (mut first, mut later, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    let mut nodes = 0;
    for _ in 0..ROUNDS {
        let api = installation.start("api").await?;
        let asker = Asker::of(installation, &api);
        first.push(asker.milliseconds(&request).await?);
        later.push(asker.milliseconds(&request).await?);
        let begun = Instant::now();
        let value: Value = serde_json::from_slice(manifest)?;
        peer.push(begun.elapsed().as_secs_f64() * 1000.0);
        let answer = asker.ask(&request).await?;
        nodes = answer["lineage"].as_array().context("no lineage")?.len();
        let of_manifest = |section: &str| value[section].as_object().map_or(0, serde_json::Map::len);
        ensure!(
            nodes == of_manifest("nodes") + of_manifest("sources") + of_manifest("exposures"),
            "the lineage has {nodes} nodes"
        );
    }
    let peer = median(peer);
    let line = |what: String, own| Line::beside(what, median(own), "ms", peer, Goal::AtMost(0.5));
    Ok(vec![
        line(
            format!("lineage of {nodes} nodes; `serde_json::Value` of the manifest"),
            later,
        )
        .named("lineage"),
        line(
            format!("lineage of {nodes} nodes, the first since the start; `serde_json::Value` of the manifest"),
            first,
        )
        .named("first_lineage"),
    ])
}

/// A client of a role `api`.
#[derive(Clone)]
struct Asker {
    client: reqwest::Client,
    url: String,
    key: String,
}

impl Asker {
    fn of(installation: &Installation, api: &Service) -> Self {
        Self {
            client: installation.client.clone(),
            url: format!("{}/graphql", api.url),
            key: installation.key.clone(),
        }
    }

    async fn send(&self, request: &Value) -> anyhow::Result<Bytes> {
        let request = self.client.post(&self.url).bearer_auth(&self.key).json(request);
        Ok(request.send().await?.error_for_status()?.bytes().await?)
    }

    /// Sends a request that must be answered without errors. Returns what is in `applied`.
    async fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        let mut answer: Value = serde_json::from_slice(&self.send(request).await?)?;
        ensure!(answer["errors"].is_null(), "{}", answer["errors"]);
        Ok(answer["data"]["environment"]["applied"].take())
    }

    /// Returns how long it takes until all of the answer has arrived.
    async fn milliseconds(&self, request: &Value) -> anyhow::Result<f64> {
        let begun = Instant::now();
        self.send(request).await?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

/// Sends a request as often as it is answered.
fn load(
    installation: &Installation,
    api: &Service,
    request: &Value,
    connections: u32,
) -> anyhow::Result<crate::statements::Rate> {
    let script = tempfile::NamedTempFile::new()?;
    let text = format!(
        "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[{request}]==]\n"
    );
    std::fs::write(&script, text)?;
    let script = script.path().to_str().context("the path of the script is not UTF-8")?;
    wrk(installation, api, "/graphql", connections, &["-s", script])
}
