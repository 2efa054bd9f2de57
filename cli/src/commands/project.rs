//! Implements `dbt-api project`.

use anyhow::Context;
use directory::queries;
use operator::{Edit, no_project};
use schemas::{ConnectionDetails, RecordState};

use crate::args::ProjectCommand;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: ProjectCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        ProjectCommand::Add { of, name, slug, new } => {
            settings.may_record()?;
            output.one(&operator.add_project(of.account, name, slug, &(&new).into()).await?)
        }
        ProjectCommand::List { of } => {
            let projects = queries::projects(&mut *operator.connection_of(of.account).await?, of.account).await?;
            output.many(
                &projects,
                &["id", "name", "slug", "state", "created_at"],
                "The account has no projects yet. `dbt-api project add` adds one.",
            )
        }
        ProjectCommand::Show { of, project } => {
            let mut connection = operator.connection_of(of.account).await?;
            let found = queries::project_named(&mut connection, of.account, &project.to_string()).await?;
            output.one(&found.with_context(|| no_project(of.account, &project))?)
        }
        ProjectCommand::Rename {
            of,
            project,
            name,
            same_name,
        } => {
            settings.may_record()?;
            let edit = Edit::Rename(name, same_name.into());
            output.one(&operator.edit_project(of.account, &project, edit).await?)
        }
        ProjectCommand::Retire { of, project } => {
            settings.may_record()?;
            let edit = Edit::State(RecordState::Inactive);
            output.one(&operator.edit_project(of.account, &project, edit).await?)?;
            output.note(
                "Uploads to its environments are refused until `dbt-api project restore`. What exists can be read.",
            )
        }
        ProjectCommand::Restore { of, project } => {
            settings.may_record()?;
            let edit = Edit::State(RecordState::Active);
            output.one(&operator.edit_project(of.account, &project, edit).await?)
        }
        ProjectCommand::SetConnection { of, project, details } => {
            let details = ConnectionDetails::of_pairs(&details)?;
            output.one(&operator.set_connection(of.account, &project, details).await?)
        }
    }
}
