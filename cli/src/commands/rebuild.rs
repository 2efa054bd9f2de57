//! Implements `dbt-api rebuild`.

use anyhow::{bail, ensure};
use projector::{Begun, NEXT_SCHEMA, OLD_SCHEMA, Rebuild};
use read_model::compare::Difference;
use read_model::rebuild::search_path;
use serde_json::{Map, Value, json};

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
    match output {
        Output::Json => output.one(&json!({
            "events": outcomes,
            "differences": differences,
            "in_place": swapped,
            "old_schema": (swapped && arguments.keep_old).then_some(OLD_SCHEMA),
        }))?,
        Output::Text => {
            output.one(&outcomes)?;
            show(&differences, output)?;
        }
    }
    if swapped {
        return output.note("The new read model is in place.");
    }
    if differences.is_empty() {
        return output.note("The read model matches the bucket.");
    }
    ensure!(
        !arguments.verify,
        "the read model does not match the bucket: look for the cause first, because it may come back; then \
         `dbt-api rebuild --accept-differences` repairs it"
    );
    bail!(
        "the new read model differs from the current one and did not replace it; it is kept in the schema {NEXT_SCHEMA}: look for the cause first, because it may come back; then `dbt-api rebuild --accept-differences` replaces the current one, or `dbt-api rebuild --verify` removes the new one"
    )
}

/// Prints which tables differ, and of each two rows the columns that differ.
fn show(differences: &[Difference], output: Output) -> anyhow::Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let columns = ["table", "account_id", "only_in_database", "only_in_bucket", "columns"];
    output.many(differences, &columns, "")?;
    output
        .note("\nAn example of each, where both have a row with the columns that differ (--json shows whole rows):")?;
    for difference in differences {
        let of_account = format!("{}, account {}", difference.table, difference.account_id);
        for (side, row) in [("database", &difference.database), ("bucket", &difference.bucket)] {
            if let Some(row) = row {
                output.note(&format!("{of_account}, {side}: {}", shown(row, &difference.columns)))?;
            }
        }
    }
    Ok(())
}

/// The columns of a row that differ, or all if none is known.
fn shown(row: &Value, columns: &[String]) -> String {
    match row {
        Value::Object(all) if !columns.is_empty() => {
            let named = all.iter().filter(|(name, _)| columns.contains(name));
            let named: Map<String, Value> = named.map(|(name, value)| (name.clone(), value.clone())).collect();
            Value::Object(named).to_string()
        }
        row => row.to_string(),
    }
}
