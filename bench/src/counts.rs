//! Counts that must not grow unnoticed. They are the same on any machine and under any load.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use artifacts::Manifest;
use bytes::Bytes;

use crate::history;
use crate::installation::Installation;
use crate::project::{Parse, Project};
use crate::reads::{REQUESTS, get};
use crate::report::{Goal, Line};
use crate::statements::{begin_log, end_of_log, logged_since};

const MODELS: usize = 20;

/// Each count is the lowest of this many rounds, because background work such as the sweep may add to some of them.
const ROUNDS: u64 = 5;

/// The number of statements that each of [`REQUESTS`] may send, including those that begin and end its transaction.
const STATEMENTS: [usize; 4] = [4, 4, 4, 7];

/// The number of statements that the projection of a manifest with only known nodes may send.
const OF_A_REPEAT: usize = 40;

pub(crate) async fn count(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    history::add_runs(&installation.pool, 1, 100, 100_000).await?;
    let mut lines = of_repeats(&installation).await?;
    lines.extend(of_requests(&installation).await?);
    lines.push(instructions()?);
    Ok(lines)
}

async fn of_repeats(installation: &Installation) -> anyhow::Result<Vec<Line>> {
    let database = &installation.system.database;
    begin_log(database).await?;
    let (ingest, projector) = (
        installation.start("ingest").await?,
        installation.start("projector").await?,
    );
    let project = Project::new(MODELS)?;
    let (mut statements, mut written, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let manifest = Bytes::from(project.manifest(Parse { number, changed: 0 })?);
        let (begin, wal, size) = (
            end_of_log(database).await?,
            wal_bytes(installation).await?,
            installation.table_bytes().await?,
        );
        let (_, event) = installation.upload(&ingest, "run", manifest).await?;
        installation.visible(event).await?;
        let asked = "SELECT EXISTS (SELECT FROM ledger WHERE event_id = $1)";
        let sent = logged_since(database, begin).await?;
        statements.push(sent.iter().filter(|statement| !statement.is(asked)).count());
        written.push(wal_bytes(installation).await? - wal);
        grown.push(installation.table_bytes().await? - size);
    }
    drop((ingest, projector));
    let kilobytes = |bytes: Vec<i64>| bytes.into_iter().min().unwrap_or(i64::MAX) as f64 / 1000.0;
    Ok(vec![
        Line::alone(
            "statements to project a manifest with only known nodes",
            least(statements),
            "",
            Goal::AtMost(OF_A_REPEAT as f64),
        ),
        Line::alone(
            "table growth by that manifest",
            kilobytes(grown),
            "KB",
            Goal::AtMost(20.0),
        ),
        Line::alone(
            "write-ahead log of that manifest",
            kilobytes(written),
            "KB",
            Goal::AtMost(10.0),
        ),
    ])
}

/// Returns the bytes of write-ahead log written so far.
async fn wal_bytes(installation: &Installation) -> anyhow::Result<i64> {
    let bytes = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint");
    Ok(bytes.fetch_one(&installation.pool).await?)
}

async fn of_requests(installation: &Installation) -> anyhow::Result<Vec<Line>> {
    let database = &installation.system.database;
    let api = installation.start("api").await?;
    installation.prepared().await?;
    let mut lines = Vec::new();
    for ((name, path), most) in REQUESTS.into_iter().zip(STATEMENTS) {
        let mut statements = Vec::new();
        for _ in 0..ROUNDS {
            let begin = end_of_log(database).await?;
            get(installation, &api, path).await?;
            statements.push(logged_since(database, begin).await?.len());
        }
        lines.push(Line::alone(
            format!("statements for {name}"),
            least(statements),
            "",
            Goal::AtMost(most as f64),
        ));
    }
    Ok(lines)
}

fn least(counts: Vec<usize>) -> f64 {
    counts.into_iter().min().unwrap_or(usize::MAX) as f64
}

/// The instructions for each byte of a manifest, in a build without optimization. The overhead that all manifests share is excluded.
fn instructions() -> anyhow::Result<Line> {
    let folder = tempfile::tempdir()?;
    let mut of_size = Vec::new();
    for models in [MODELS, 2 * MODELS] {
        let manifest = Project::new(models)?.manifest(Parse { number: 0, changed: 0 })?;
        let file = folder.path().join("manifest.json");
        std::fs::write(&file, &manifest)?;
        of_size.push((manifest.len() as f64, instructions_of_reading(&file)?));
    }
    let (more_bytes, more_instructions) = (of_size[1].0 - of_size[0].0, of_size[1].1 - of_size[0].1);
    Ok(Line::alone(
        "instructions to read a byte of a manifest, unoptimized",
        more_instructions / more_bytes,
        "",
        Goal::AtMost(220.0),
    ))
}

fn instructions_of_reading(manifest: &Path) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("read")
        .arg(manifest)
        // One thread only, because threads that wait for work would count, too.
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .context("cannot run valgrind: `./dev test` installs it")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {errors}");
    let collected = errors.lines().find_map(|line| line.split_once("Collected :"));
    let (_, instructions) = collected.with_context(|| format!("callgrind counted nothing: {errors}"))?;
    Ok(instructions.trim().parse()?)
}

/// Reads a manifest like the projector does, so that callgrind can count the instructions.
pub(crate) fn read(manifest: &Path) -> anyhow::Result<()> {
    let manifest = Manifest::read(std::fs::read(manifest)?)?;
    let hashes = manifest.map_nodes(|node| node.content().sha256);
    ensure!(!hashes.is_empty(), "the manifest has no nodes");
    Ok(())
}
