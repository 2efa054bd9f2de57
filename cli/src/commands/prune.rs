//! Implements `dbt-api prune`.

use read_model::prune::Prunable;
use serde_json::json;

use crate::args::PruneArguments;
use crate::operator::environment_named;
use crate::output::Output;
use crate::settings::Settings;

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
    let runs: Vec<_> = plan.iter().flat_map(|pruned| &pruned.run_ids).copied().collect();
    let uploads: usize = plan.iter().map(|pruned| pruned.uploads.len()).sum();
    if arguments.apply {
        for pruned in plan {
            operator.write(&projector, pruned.into()).await?;
        }
    }
    output.one(&json!({ "removed": arguments.apply, "runs": runs.len(), "uploads": uploads, "run_ids": runs }))?;
    output.note(match (runs.len(), arguments.apply) {
        (0, _) => "There is nothing to remove.",
        (_, false) => {
            "Nothing was removed yet. Run it with --apply to remove these runs. Their files in the bucket stay."
        }
        (_, true) => "The runs were removed from the database. Their files in the bucket stay.",
    })
}
