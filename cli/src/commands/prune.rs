//! Implements `dbt-api prune`.

use operator::environment_named;
use read_model::prune::Prunable;
use serde_json::json;

use crate::args::PruneArguments;
use crate::output::Output;
use crate::settings::Settings;

/// How many runs people see.
const MAX_SHOWN: usize = 50;

pub(crate) async fn run(settings: &Settings, arguments: &PruneArguments, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    let account = arguments.of.account;
    let mut connection = operator.connection_of(account).await?;
    let environment = match &arguments.environment {
        None => None,
        Some(name) => Some(environment_named(&mut connection, account, name).await?),
    };
    drop(connection);
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    let which = Prunable {
        account,
        environment,
        job: arguments.job,
        before: arguments.older_than.map(|period| operator.clock.now() - period.0),
        keep: arguments.keep.map(i64::from),
    };
    let plan = projector.plan_prune(&which).await?;
    let uploads: usize = plan.events.iter().map(|pruned| pruned.uploads.len()).sum();
    if arguments.apply {
        for pruned in plan.events {
            operator.write(&projector, pruned.into()).await?;
        }
    }
    let runs = &plan.runs;
    let mut result = json!({
        "removed": arguments.apply,
        "runs": runs.len(),
        "uploads": uploads,
        "kept_in_use": plan.in_use,
        "kept_shared": plan.shared,
    });
    match output {
        Output::Json => result["run_ids"] = runs.iter().map(|run| json!(run.run)).collect(),
        Output::Text if runs.is_empty() => {}
        Output::Text => {
            output.many(
                &runs[..runs.len().min(MAX_SHOWN)],
                &["id", "job_id", "ended_at", "environment_id"],
                "",
            )?;
            if runs.len() > MAX_SHOWN {
                output.note(&format!("… and {} more, which --json lists.", runs.len() - MAX_SHOWN))?;
            }
            output.note("")?;
        }
    }
    output.one(&result)?;
    for (kept, reason) in [
        (
            plan.in_use,
            "because the current state of their environment comes from them",
        ),
        (plan.shared, "because they share an upload with a run that stays"),
    ] {
        if kept > 0 {
            output.note(&format!("More runs match, but stay {reason}: {kept}."))?;
        }
    }
    output.note(match (runs.len(), arguments.apply) {
        (0, _) => "There is nothing to remove.",
        (_, false) => {
            "Nothing was removed yet. Run it with --apply to remove these runs. Their files in the bucket stay."
        }
        (_, true) => "The runs were removed from the database. Their files in the bucket stay.",
    })
}
