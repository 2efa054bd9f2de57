//! `dbt-api prune`

use anyhow::ensure;
use projector::Outcome;
use read_model::Prunable;
use schemas::{Event, EventData, EventId};
use serde_json::json;

use crate::args::PruneArguments;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, arguments: &PruneArguments, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    let clock = operator.clock;
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let which = Prunable {
        account: arguments.of.account,
        environment: arguments.environment,
        job: arguments.job,
        before: arguments.older_than.map(|period| clock.now() - period.0),
        keep: arguments.keep.map(i64::from),
    };
    let plan = projector.plan_prune(&which).await?;
    let runs: Vec<_> = plan.iter().flat_map(|pruned| &pruned.run_ids).copied().collect();
    let uploads: usize = plan.iter().map(|pruned| pruned.uploads.len()).sum();
    if arguments.apply {
        for pruned in plan {
            let time = clock.now();
            let event = Event::new(EventId(clock.new_id(time)), time, &EventData::from(pruned))?;
            // From here on it holds, and the sweep applies it if this process does not.
            operator.bucket.put_event(&event).await?;
            let outcome = projector.apply_or_wait(&event).await?;
            ensure!(
                outcome != Outcome::Buried,
                "the event {} is a dead letter; `dbt-api dead-letters show {}` says why",
                event.id,
                event.id
            );
        }
    }
    output.one(&json!({ "removed": arguments.apply, "runs": runs.len(), "uploads": uploads, "run_ids": runs }))?;
    if !arguments.apply && !runs.is_empty() {
        output.note("Nothing was removed yet: the same with --apply removes them. Their files in the bucket stay.")?;
    }
    Ok(())
}
