//! The console's pages: in Chromium, compared with dbt's own documentation site for the same manifest and catalog; as bytes and times, compared
//! with a page of the REST API and with Graphviz.

mod browser;
mod graphviz;

use std::time::Instant;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::multipart::{Form, Part};
use testkit::Service;

use crate::discovery::installation_with;
use crate::files::build;
use crate::installation::{Installation, SLUG, median};
use crate::project::{Project, name_of};
use crate::report::{Goal, Line};

pub(crate) use browser::Browser;

/// The models of the project.
const MODELS: usize = 5_000;

/// The jobs of an overview, and the runs of each.
const JOBS: usize = 100;
const RUNS: usize = 30;

/// How often each page is asked for.
const ROUNDS: usize = 11;

/// How many uploads are sent at once.
const AT_ONCE: usize = 16;

pub(crate) async fn measure(binary: &str, browser: &Browser<'_>) -> anyhow::Result<Vec<Line>> {
    let (installation, files) = installation_with(binary, MODELS).await?;
    let mut lines = vec![of_layout(&installation, &files.manifest).await?];
    lines.extend(of_run(&installation).await?);
    let api = installation.start("api").await?;
    lines.extend(browser.measure(&api.url, &installation.key, &name_of(MODELS / 2), &files)?);
    drop(api);
    drop(installation);
    lines.push(of_overview(binary).await?);
    Ok(lines)
}

/// The whole lineage, asked for as soon as the service is ready, so that the graph is read and laid out.
async fn of_layout(installation: &Installation, manifest: &[u8]) -> anyhow::Result<Line> {
    let graph = graphviz::graph_of(manifest)?;
    let mut own = Vec::new();
    let mut peer = Vec::new();
    for _ in 0..3 {
        let api = installation.start("api").await?;
        installation.prepared().await?;
        let (took, _, _) = get(
            installation,
            &api,
            "/console/1/environments/1/lineage?select=resource_type:model",
        )
        .await?;
        own.push(took);
        peer.push(graphviz::seconds(&graph)? * 1000.0);
    }
    let what = format!("the lineage of {MODELS} models, first time, with reading it; `dot -Tsvg` on the same graph");
    Ok(Line::beside(what, median(own), "ms", median(peer), Goal::AtMost(0.2)).named("console_layout"))
}

/// The page of a run in which each node of the project has a result.
async fn of_run(installation: &Installation) -> anyhow::Result<Vec<Line>> {
    let api = installation.start("api").await?;
    installation.prepared().await?;
    let (mut firsts, mut bytes) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (_, first, size) = get(installation, &api, "/console/1/runs/1").await?;
        firsts.push(first);
        bytes = size;
    }
    let results = Project::new(MODELS)?.built().count();
    Ok(vec![
        Line::alone(
            format!("the page of a run with {results} results, until its first bytes"),
            median(firsts),
            "ms",
            Goal::AtMost(100.0),
        )
        .named("console_run"),
        Line::alone("the same page, whole", bytes as f64 / 1000.0, "KB", Goal::AtMost(300.0)).named("console_run_size"),
    ])
}

/// The overview of an environment with many jobs.
async fn of_overview(binary: &str) -> anyhow::Result<Line> {
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let uploads = (0..JOBS * RUNS).map(|number| upload(&installation, &serve, number));
    let events: Vec<uuid::Uuid> = stream::iter(uploads).buffer_unordered(AT_ONCE).try_collect().await?;
    for event in events {
        installation.visible(event).await?;
    }
    sqlx::query("VACUUM ANALYZE").execute(&installation.owner).await?;
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(get(&installation, &serve, "/console/1/environments/1").await?.0);
        peer.push(
            get(&installation, &serve, "/api/v2/accounts/1/runs/?limit=100")
                .await?
                .0,
        );
    }
    let what = format!("the overview of {JOBS} jobs with {RUNS} runs each; a page of 100 runs of the REST API");
    Ok(Line::beside(what, median(own), "ms", median(peer), Goal::AtMost(10.0)).named("console_overview"))
}

/// Uploads the results of a run of one of the jobs; every seventh failed.
async fn upload(installation: &Installation, to: &Service, number: usize) -> anyhow::Result<uuid::Uuid> {
    let results = build(&["model.shop.orders"], number as u64)?;
    let results = if number.is_multiple_of(7) {
        String::from_utf8(results.to_vec())?
            .replace(r#""status":"success""#, r#""status":"error""#)
            .into_bytes()
    } else {
        results.to_vec()
    };
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("dag_id", format!("job-{:03}", number % JOBS))
        .text("run_id", format!("run-{number}"))
        .part("file", Part::bytes(results).file_name("run_results.json"));
    let request = installation.client.post(format!("{}/api/internal/manifests", to.url));
    let answer = request.bearer_auth(&installation.key).multipart(form).send().await?;
    ensure!(
        answer.status() == 201,
        "an upload was answered with {}",
        answer.status()
    );
    let body: serde_json::Value = answer.json().await?;
    Ok(body["data"]["event_id"].as_str().context("no event_id")?.parse()?)
}

/// Asks for a page. Returns the milliseconds until it is whole, those until its first bytes, and the bytes received.
async fn get(installation: &Installation, from: &Service, path: &str) -> anyhow::Result<(f64, f64, usize)> {
    let request = installation
        .client
        .get(format!("{}{path}", from.url))
        .bearer_auth(&installation.key);
    let begun = Instant::now();
    let answer = request.header("accept-encoding", "gzip").send().await?;
    let first = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(answer.status() == 200, "{path} was answered with {}", answer.status());
    let size = answer.bytes().await?.len();
    Ok((begun.elapsed().as_secs_f64() * 1000.0, first, size))
}
