//! `dbt-api replay`

use anyhow::ensure;
use projector::Selection;

use crate::args::SelectionArguments;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;

pub(crate) async fn run(
    settings: &Settings,
    selection: &SelectionArguments,
    again: bool,
    output: Output,
) -> anyhow::Result<()> {
    let selection = selection_of(selection);
    ensure!(
        !again || selection.account.is_some() || selection.from.is_some(),
        "`--again` needs --account or --from: to apply everything again, `dbt-api rebuild` is faster and compares what it made"
    );
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let progress = Progress::begin("replay", output);
    let outcomes = projector
        .replay(&selection, again, &|done, total| progress.tell(done, total))
        .await?;
    progress.end();
    output.one(&outcomes)?;
    ensure!(
        outcomes.dead_letters == 0,
        "{} events could not be applied; `dbt-api dead-letters list` says why",
        outcomes.dead_letters
    );
    Ok(())
}

/// What the arguments select; times that are told as how long ago are of now.
pub(crate) fn selection_of(arguments: &SelectionArguments) -> Selection {
    let now = clock::Clock::System.now();
    Selection {
        account: arguments.account,
        environment: arguments.environment,
        kind: arguments.kind.clone(),
        from: arguments.from.map(|moment| moment.before(now)),
        to: arguments.to.map(|moment| moment.before(now)),
    }
}
