//! Implements `dbt-api rebuild`.

use anyhow::{bail, ensure};
use projector::{Begun, NEXT_SCHEMA, OLD_SCHEMA, Rebuild};
use read_model::compare::Difference;
use read_model::rebuild::search_path;
use serde_json::json;

use crate::args::RebuildArguments;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, arguments: &RebuildArguments, output: Output) -> anyhow::Result<()> {
    let mut rebuild = Rebuild {
        live: settings.projector(read_model::SEARCH_PATH)?,
        next: settings.projector(&search_path(NEXT_SCHEMA))?,
        owner: settings.owner().await?,
    };
    let has_options = arguments.verify || arguments.accept_differences || arguments.keep_old;
    let begun = rebuild.prepare(!has_options).await?;
    match begun {
        Begun::New => {}
        Begun::Continued => output.note("Continuing a rebuild that was started earlier.")?,
        Begun::Joined => {
            output.note("Another process is rebuilding the read model. This one helps it to apply events.")?
        }
    }
    let progress = Progress::estimate("rebuild", output);
    if begun == Begun::Joined {
        let outcomes = rebuild.help(&|done, total| progress.update(done, total)).await?;
        progress.end();
        if !rebuild.is_left_alone().await? {
            output.one(&json!({ "joined": true, "events": outcomes }))?;
            return output.note(
                "All events are applied. The other process compares the read models, and replaces the old one unless it only verifies it or finds \
                 differences.",
            );
        }
        output.note("The other process has ended. This one continues its work.")?;
    }
    let progress = Progress::estimate("rebuild", output);
    let outcomes = rebuild.replay(&|done, total| progress.update(done, total)).await?;
    progress.end();
    let accepts =
        |differences: &[Difference]| !arguments.verify && (differences.is_empty() || arguments.accept_differences);
    let finished = rebuild.finish(accepts).await;
    if arguments.verify {
        rebuild.discard().await?;
    }
    let (differences, swapped) = finished?;
    if swapped && !arguments.keep_old {
        rebuild.drop_old().await?;
    }
    output.one(&json!({
        "events": outcomes,
        "differences": differences,
        "in_place": swapped,
        "old_schema": (swapped && arguments.keep_old).then_some(OLD_SCHEMA),
    }))?;
    if swapped {
        return output.note("The new read model is in place.");
    }
    if differences.is_empty() {
        return output.note("The read model matches the bucket.");
    }
    ensure!(
        !arguments.verify,
        "the read model does not match the bucket: `dbt-api rebuild --accept-differences` repairs it"
    );
    bail!(
        "the new read model differs from the current one and did not replace it; it is kept in the schema {NEXT_SCHEMA}: `dbt-api rebuild --accept-differences` replaces the current one, `dbt-api rebuild --verify` removes it"
    )
}
