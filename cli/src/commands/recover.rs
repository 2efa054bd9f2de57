//! Implements `dbt-api recover`.

use projector::Selection;
use serde_json::json;

use super::migrate::migrate;
use super::replay::ensure_complete;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    migrate(settings).await?;
    settings.ensure_usable().await?;
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let progress = Progress::begin("numbers", output);
    let numbers = projector
        .restore_ids(&|done, total| progress.update(done, total))
        .await?;
    progress.end();
    let directory = projector.sweep_directory().await?;
    let progress = Progress::estimate("events", output);
    let outcomes = projector
        .replay(&Selection::default(), false, &|done, total| {
            progress.update(done, total)
        })
        .await?;
    progress.end();
    output.one(&json!({ "numbers": numbers, "directory_events": directory.applied, "events": outcomes }))?;
    ensure_complete(&outcomes)
}
