//! Implements `dbt-api project`.

use anyhow::Context;
use directory::queries;
use schemas::ConnectionDetails;

use crate::args::ProjectCommand;
use crate::operator::no_project;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: ProjectCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        ProjectCommand::Add { of, name, slug } => {
            settings.may_add()?;
            output.one(&operator.add_project(of.account, name, slug).await?)
        }
        ProjectCommand::List { of } => {
            let projects = queries::projects(&mut *operator.connection_of(of.account).await?, of.account).await?;
            output.many(
                &projects,
                "The account has no projects yet. `dbt-api project add` adds one.",
            )
        }
        ProjectCommand::Show { of, project } => {
            let projects = queries::projects(&mut *operator.connection_of(of.account).await?, of.account).await?;
            let found = projects
                .into_iter()
                .find(|known| known.slug == project || known.id.to_string() == project);
            output.one(&found.with_context(|| no_project(of.account, &project))?)
        }
        ProjectCommand::SetConnection { of, project, details } => {
            let details = ConnectionDetails::of_pairs(&details)?;
            output.one(&operator.set_connection(of.account, &project, details).await?)
        }
    }
}
