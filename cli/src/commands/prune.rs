//! `dbt-api prune`

use anyhow::ensure;
use projector::Outcome;
use read_model::Prunable;
use schemas::{Event, EventData, EventId};
use serde_json::json;

use crate::args::PruneArguments;
use crate::operator::environment_named;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, arguments: &PruneArguments, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    let clock = operator.clock;
    let environment = match &arguments.environment {
        None => None,
        Some(name) => {
            let mut connection = operator.connection().await?;
            Some(environment_named(&mut connection, arguments.of.account, name).await?)
        }
    };
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let which = Prunable {
        account: arguments.of.account,
        environment,
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
    output.note(match (runs.len(), arguments.apply) {
        (0, _) => "There is nothing to remove.",
        (_, false) => "Nothing was removed yet: the same with --apply removes them. Their files in the bucket stay.",
        (_, true) => "They were removed from the database. Their files in the bucket stay.",
    })
}
