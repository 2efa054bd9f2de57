//! Implements `dbt-api journal`.

use anyhow::ensure;
use bucket::{Bucket, PACKED_AFTER};
use clock::Clock;
use serde_json::json;

use crate::args::JournalCommand;
use crate::output::Output;
use crate::period::Period;
use crate::progress::Progress;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: JournalCommand, output: Output) -> anyhow::Result<()> {
    let bucket = settings.open_bucket()?;
    match command {
        JournalCommand::Pack => pack(&bucket, output).await,
        JournalCommand::Trim { older_than, apply } => trim(&bucket, older_than, apply, output).await,
    }
}

async fn pack(bucket: &Bucket, output: Output) -> anyhow::Result<()> {
    let progress = Progress::begin("days", output);
    let packed = bucket
        .pack(Clock::System.now() - PACKED_AFTER, &|done, total| {
            progress.update(done, total)
        })
        .await?;
    progress.end();
    output.one(&json!({
        "segments": packed.segments,
        "events": packed.events,
        "unreadable": packed.unreadable,
    }))?;
    ensure!(
        packed.unreadable == 0,
        "{} events cannot be read and stay as they are: the log above names them and says why",
        packed.unreadable
    );
    Ok(())
}

async fn trim(bucket: &Bucket, older_than: Period, apply: bool, output: Output) -> anyhow::Result<()> {
    let progress = Progress::begin("days", output);
    let trimmed = bucket
        .trim(Clock::System.now() - older_than.0, apply, &|done, total| {
            progress.update(done, total)
        })
        .await?;
    progress.end();
    output.one(&json!({
        "deleted": apply,
        "objects": trimmed.deleted,
        "different": trimmed.different,
        "not_packed": trimmed.not_packed,
    }))?;
    output.note(match (trimmed.deleted, apply) {
        (0, _) => "There is nothing to delete.",
        (_, false) => {
            "Nothing was deleted yet. Run it with --apply to compare these objects with their segments and delete them."
        }
        (_, true) => "The objects were deleted. Their events are in segments.",
    })?;
    ensure!(
        trimmed.different == 0,
        "{} objects differ from their segments and stay: the log above names them",
        trimmed.different
    );
    Ok(())
}
