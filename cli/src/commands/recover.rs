//! Implements `dbt-api recover`.

use anyhow::ensure;
use projector::Selection;
use serde_json::json;

use super::migrate::migrate;
use super::replay::ensure_complete;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    ensure!(
        !bucket.list_directory_events().await?.is_empty() || bucket.first_hour().await?.is_some(),
        "there is nothing to recover: the bucket contains no events; check that the settings name the right bucket"
    );
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
    match output {
        Output::Json => {
            output.one(&json!({ "numbers": numbers, "directory_events": directory.applied, "events": outcomes }))?;
        }
        Output::Text => {
            output.one(&json!({ "numbers": numbers, "directory_events": directory.applied }))?;
            output.one(&outcomes)?;
            output.note(
                "`numbers` are the numbers of jobs and runs that were restored, so that clients find what they know. \
                 `directory_events` are those of accounts, projects, environments, tokens and `prune`; the other lines count the events of uploads.",
            )?;
        }
    }
    ensure_complete(&outcomes)?;
    output.note("Everything in the bucket was restored. Start the services.")
}
