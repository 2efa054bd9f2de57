//! Projections of manifests: the time from the answer to an upload until it can be read.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use testkit::{Database, Service};

use crate::installation::{Installation, forget_peak, median, peak_mib, percentile};
use crate::limits;
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};

/// The number of models in a manifest of 22,500 nodes and 106 MB.
const MODELS: usize = 5_000;

const ROUNDS: u64 = 3;

/// How often the same manifest is parsed again, to measure what one repetition adds.
const REPEATS: u64 = 5;

const SMALL_UPLOADS: u64 = 300;

/// The tables that a manifest is written to.
const TABLES: [&str; 5] = ["nodes", "texts", "node_sets", "text_sets", "manifests"];

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let project = Project::new(MODELS)?;
    let [
        mut first,
        mut first_limit,
        mut repeat,
        mut repeat_limit,
        mut changed,
        mut memory,
        mut grown,
    ] = [const { Vec::new() }; 7];
    let mut size_mib = 0.0;
    for _ in 0..ROUNDS {
        let installation = Installation::prepare(binary).await;
        let (ingest, projector) = (
            installation.start("ingest").await?,
            installation.start("projector").await?,
        );
        let line = Uploads {
            installation: &installation,
            ingest: &ingest,
        };
        // A small upload first, so that connections are open and code is loaded.
        line.project(Project::new(10)?.manifest(Parse { number: 1, changed: 0 })?.into())
            .await?;

        let manifest = Bytes::from(project.manifest(Parse { number: 0, changed: 0 })?);
        size_mib = manifest.len() as f64 / f64::from(1 << 20);
        forget_peak(&projector)?;
        first.push(line.project(manifest.clone()).await?.as_secs_f64());
        memory.push(peak_mib(&projector)?);
        let copied = copy_rows(&installation).await?;
        first_limit.push((limits::parse(&manifest)? + copied).as_secs_f64());
        let frame = zstd::bulk::compress(&manifest, 3)?;

        let before = installation.table_bytes().await?;
        for number in 1..=REPEATS {
            let manifest = project.manifest(Parse { number, changed: 0 })?.into();
            repeat.push(line.project(manifest).await?.as_secs_f64());
            repeat_limit.push(limits::decompress_and_parse(&frame)?.as_secs_f64());
        }
        grown.push((installation.table_bytes().await? - before) as f64 / REPEATS as f64 / 1000.0);
        for number in 1..=REPEATS {
            let manifest = project
                .manifest(Parse {
                    number: REPEATS + number,
                    changed: 1,
                })?
                .into();
            changed.push(line.project(manifest).await?.as_secs_f64());
        }
    }
    let (repeat, changed) = (median(repeat), median(changed));
    Ok(vec![
        Line::beside(
            "first projection of 5,000 models; typed parse + COPY of the same rows",
            median(first),
            "s",
            median(first_limit),
            Goal::AtMost(1.3),
        )
        .named("first_projection"),
        Line::beside(
            "the same manifest parsed again; unzstd + typed parse",
            repeat,
            "s",
            median(repeat_limit),
            Goal::AtMost(1.3),
        ),
        Line::alone(
            "PostgreSQL growth by that manifest",
            median(grown),
            "KB",
            Goal::AtMost(20.0),
        ),
        Line::beside(
            "one node of 22,500 changed; the repeat",
            changed,
            "s",
            repeat,
            Goal::AtMost(1.1),
        ),
        Line::alone(
            format!("peak memory of a projection of {:.0} MiB", size_mib),
            median(memory),
            "MiB",
            Goal::AtMost((1.5 * size_mib + 64.0).round()),
        ),
    ])
}

pub(crate) async fn measure_latency(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let service = installation.start("serve").await?;
    let line = Uploads {
        installation: &installation,
        ingest: &service,
    };
    let project = Project::new(10)?;
    let mut latencies = Vec::new();
    for number in 0..SMALL_UPLOADS {
        let manifest = project.manifest(Parse { number, changed: 1 })?.into();
        latencies.push(line.project(manifest).await?.as_secs_f64() * 1000.0);
    }
    let what = "from 201 to visible for a small manifest on an idle system, p99";
    Ok(vec![Line::alone(
        what,
        percentile(latencies, 99.0),
        "ms",
        Goal::AtMost(60.0),
    )])
}

struct Uploads<'a> {
    installation: &'a Installation,
    ingest: &'a Service,
}

impl Uploads<'_> {
    /// Uploads a manifest. Returns the time from the answer until it can be read.
    async fn project(&self, manifest: Bytes) -> anyhow::Result<Duration> {
        let (_, event) = self.installation.upload(self.ingest, "run", manifest).await?;
        self.installation.visible(event).await
    }
}

/// Copies the rows of the manifest with psql into the same tables of an empty database. Returns how long the second half took.
async fn copy_rows(installation: &Installation) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let file = |table: &str| folder.path().join(table).display().to_string();
    let export: Vec<String> = TABLES
        .iter()
        .map(|table| format!("\\copy read_model.{table} TO '{}'", file(table)))
        .collect();
    psql(&installation.system.database, &export, folder.path())?;
    let empty = Database::create().await;
    let mut import = vec!["BEGIN;".to_owned()];
    import.extend(
        TABLES
            .iter()
            .map(|table| format!("\\copy read_model.{table} FROM '{}'", file(table))),
    );
    import.push("COMMIT;".to_owned());
    let begun = Instant::now();
    psql(&empty, &import, folder.path())?;
    Ok(begun.elapsed())
}

fn psql(database: &Database, commands: &[String], folder: &Path) -> anyhow::Result<()> {
    let script = folder.join("script");
    std::fs::write(&script, commands.join("\n") + "\n")?;
    // psql does not know the parameters that sqlx adds to the URL.
    let url = database.url();
    let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(script)
        .arg(url)
        .output()?;
    ensure!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
