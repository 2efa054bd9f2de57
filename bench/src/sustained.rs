//! Many small uploads, compared with a Python pipeline that does the same with the usual libraries.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::Value;

use crate::installation::{Installation, until};
use crate::project::{Parse, Project, invocation_id};
use crate::report::{Goal, Line};

const MODELS: usize = 100;

const CLIENTS: usize = 6;

const LASTING: Duration = Duration::from_secs(20);

/// The number of manifests that the pipeline reads.
const OF_PIPELINE: u64 = 20;

/// A manifest in which the number of the parse can be replaced, so that it need not be generated again.
pub(crate) struct Pattern {
    text: Vec<u8>,
    /// Where the number of the parse is in the text.
    positions: Vec<usize>,
}

/// The number that is replaced by the number of the parse.
const PLACEHOLDER: u64 = 0xabc_def0_1234;

impl Pattern {
    /// Creates the pattern of a project in which this many models change with each parse.
    pub(crate) fn new(models: usize, changed: usize) -> anyhow::Result<Self> {
        let text = Project::new(models)?.manifest(Parse {
            number: PLACEHOLDER,
            changed,
        })?;
        let mark = digits(PLACEHOLDER);
        let in_code = PLACEHOLDER.to_string();
        let text = String::from_utf8(text)?.replace(&format!("changed in {in_code}"), &format!("changed in {mark}"));
        let positions = text.match_indices(&mark).map(|(position, _)| position).collect();
        Ok(Self {
            text: text.into_bytes(),
            positions,
        })
    }

    pub(crate) fn parse(&self, number: u64) -> Bytes {
        let mut text = self.text.clone();
        for position in &self.positions {
            text[*position..position + 12].copy_from_slice(digits(number).as_bytes());
        }
        text.into()
    }
}

/// Returns the end of the invocation id.
fn digits(number: u64) -> String {
    invocation_id(number).split_off(24)
}

pub(crate) async fn measure(binary: &str, python: &str) -> anyhow::Result<Vec<Line>> {
    let pattern = Arc::new(Pattern::new(MODELS, 1)?);
    let installation = Arc::new(Installation::prepare(binary).await);
    let serve = Arc::new(installation.start("serve").await?);
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (pattern, installation, serve, sent) = (
            Arc::clone(&pattern),
            Arc::clone(&installation),
            Arc::clone(&serve),
            Arc::clone(&sent),
        );
        clients.spawn(async move {
            while begun.elapsed() < LASTING {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                installation
                    .upload(&serve, &format!("run-{number}"), pattern.parse(number))
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let sent = i64::try_from(sent.load(Ordering::Relaxed))?;
    until("all uploads are applied", async || {
        let applied = sqlx::query_scalar("SELECT count(DISTINCT event_id) FROM artifacts");
        applied
            .fetch_one(&installation.pool)
            .await
            .is_ok_and(|applied: i64| applied == sent)
    })
    .await?;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let own = sent as f64 / begun.elapsed().as_secs_f64() / cores;
    drop(serve);

    let folder = tempfile::tempdir()?;
    for number in 0..OF_PIPELINE {
        std::fs::write(folder.path().join(format!("{number}.json")), pattern.parse(number))?;
    }
    let url = installation.system.database.url();
    let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
    let script = testkit::repository_file("bench/peers/pipeline.py");
    let output = Command::new(python)
        .arg(script)
        .arg(url)
        .arg(folder.path())
        .output()
        .context("cannot start the pipeline")?;
    ensure!(
        output.status.success(),
        "the pipeline failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let peer = report["manifests"].as_f64().unwrap_or_default() / report["seconds"].as_f64().unwrap_or(f64::NAN);
    let what = "uploads of 100 models per second and core, each slightly changed; dbt-artifacts-parser + COPY";
    Ok(vec![Line::beside(what, own, "/s", peer, Goal::AtLeast(30.0))])
}
