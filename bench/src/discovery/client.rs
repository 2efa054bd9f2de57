//! DataHub, which reads a job from the Discovery API, compared with itself when it reads the same files.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::Files;
use crate::installation::Installation;
use crate::report::{Goal, Line};

pub(super) async fn measure(installation: &Installation, python: &str, files: &Files) -> anyhow::Result<Line> {
    let folder = tempfile::tempdir()?;
    for (name, content) in [
        ("manifest.json", &files.manifest),
        ("run_results.json", &files.results),
        ("catalog.json", &files.catalog),
    ] {
        std::fs::write(folder.path().join(name), content)?;
    }
    let job: i64 = sqlx::query_scalar("SELECT id FROM jobs")
        .fetch_one(&installation.pool)
        .await?;
    let api = installation.start("api").await?;
    let job = job.to_string();
    // Once, because DataHub itself takes minutes.
    let own = seconds(python, folder.path(), &["api", &api.url, &installation.key, &job])?;
    let peer = seconds(python, folder.path(), &["files"])?;
    Ok(Line::beside(
        "DataHub ingests a job; the same from files",
        own,
        "s",
        peer,
        Goal::AtMost(1.2),
    )
    .named("datahub"))
}

fn seconds(python: &str, folder: &Path, arguments: &[&str]) -> anyhow::Result<f64> {
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/datahub_job.py"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .output()
        .context("cannot run DataHub: `./dev bench` installs it")?;
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "DataHub: {errors}{text}");
    let last = text.lines().last().unwrap_or_default();
    last.parse().with_context(|| format!("DataHub: {text}{errors}"))
}
