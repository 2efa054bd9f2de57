//! `dbt-api environment`

use anyhow::Context;
use directory::queries;

use crate::args::EnvironmentCommand;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: EnvironmentCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        EnvironmentCommand::Add {
            of,
            project,
            name,
            slug,
            environment_type,
        } => {
            settings.may_add()?;
            let added = operator
                .add_environment(of.account, project, name, slug, environment_type)
                .await?;
            output.one(&added)
        }
        EnvironmentCommand::List { of } => {
            let environments = queries::environments(&mut *operator.connection().await?, of.account).await?;
            output.many(
                &environments,
                "The account has no environments yet; `dbt-api environment add` adds one.",
            )
        }
        EnvironmentCommand::Show { of, environment } => {
            let environments = queries::environments(&mut *operator.connection().await?, of.account).await?;
            let found = environments
                .into_iter()
                .find(|known| known.slug == environment || known.id.to_string() == environment);
            output.one(&found.with_context(|| format!("account {} has no environment `{environment}`", of.account))?)
        }
    }
}
