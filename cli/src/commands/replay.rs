//! Implements `dbt-api replay`.

use anyhow::ensure;
use projector::Outcomes;

use crate::args::SelectionArguments;
use crate::output::Output;
use crate::progress::Progress;
use crate::selection::selection_of;
use crate::settings::Settings;

pub(crate) async fn run(
    settings: &Settings,
    selection: &SelectionArguments,
    again: bool,
    output: Output,
) -> anyhow::Result<()> {
    let selection = selection_of(&settings.open_bucket()?, selection).await?;
    ensure!(
        !again || selection.account.is_some() || selection.from.is_some(),
        "`--again` needs --account or --from: to apply everything again, use `dbt-api rebuild`, which is faster and compares the result"
    );
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let progress = Progress::estimate("replay", output);
    let outcomes = projector
        .replay(&selection, again, &|done, total| progress.update(done, total))
        .await?;
    progress.end();
    output.one(&outcomes)?;
    ensure_complete(&outcomes)
}

/// A number of events in words.
pub(crate) fn counted(events: u64) -> String {
    format!("{events} {}", if events == 1 { "event" } else { "events" })
}

/// Returns an error that lists the events that were not applied, if there are any.
pub(crate) fn ensure_complete(outcomes: &Outcomes) -> anyhow::Result<()> {
    let problems = [
        (
            outcomes.dead_letters,
            "could not be applied: `dbt-api dead-letters list` says why",
        ),
        (
            outcomes.rejected,
            "could not be applied again, so the earlier result stays: the log above says why",
        ),
        (outcomes.unreadable, "cannot be read: the log above says which and why"),
    ];
    let problems: Vec<String> = problems
        .iter()
        .filter(|(events, _)| *events > 0)
        .map(|(events, problem)| format!("{} {problem}", counted(*events)))
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}
