//! Implements `dbt-api environment`.

use anyhow::{Context, ensure};
use directory::{IdOrSlug, queries};
use operator::{Edit, environment_named, no_environment};
use schemas::{AccountId, DbtProjectRetired, ProjectId, RecordState};

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
            new,
        } => {
            settings.may_record()?;
            let added = operator
                .add_environment(of.account, &project, name, slug, environment_type, &(&new).into())
                .await?;
            output.one(&added)
        }
        EnvironmentCommand::List { of } => {
            let environments =
                queries::environments(&mut *operator.connection_of(of.account).await?, of.account).await?;
            output.many(
                &environments,
                &[
                    "id",
                    "name",
                    "slug",
                    "environment_type",
                    "state",
                    "project_id",
                    "created_at",
                ],
                "The account has no environments yet. `dbt-api environment add` adds one.",
            )
        }
        EnvironmentCommand::Show { of, environment } => {
            let mut connection = operator.connection_of(of.account).await?;
            let found = queries::environment_named(&mut connection, of.account, &environment.to_string()).await?;
            output.one(&found.with_context(|| no_environment(of.account, &environment))?)
        }
        EnvironmentCommand::Rename {
            of,
            environment,
            name,
            same_name,
        } => {
            settings.may_record()?;
            let edit = Edit::Rename(name, same_name.into());
            output.one(&operator.edit_environment(of.account, &environment, edit).await?)
        }
        EnvironmentCommand::Retire { of, environment } => {
            settings.may_record()?;
            let edit = Edit::State(RecordState::Inactive);
            output.one(&operator.edit_environment(of.account, &environment, edit).await?)?;
            output.note("Within half a minute, uploads to it are refused, until `dbt-api environment restore`. What exists can be read.")
        }
        EnvironmentCommand::Restore { of, environment } => {
            settings.may_record()?;
            let edit = Edit::State(RecordState::Active);
            output.one(&operator.edit_environment(of.account, &environment, edit).await?)
        }
        EnvironmentCommand::RetireProject {
            of,
            environment,
            dbt_project,
        } => retire_project(settings, of.account, &environment, dbt_project, output).await,
    }
}

async fn retire_project(
    settings: &Settings,
    account: AccountId,
    environment: &IdOrSlug,
    dbt_project: String,
    output: Output,
) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    let mut connection = operator.connection().await?;
    let id = environment_named(&mut connection, account, environment).await?;
    let row = queries::environment(&mut connection, account, id).await?;
    let row = row.with_context(|| no_environment(account, id))?;
    let mut known: Vec<String> = read_model::projects::projects_of_environment(&mut connection, account, id)
        .await?
        .into_iter()
        .map(|project| project.dbt_project)
        .collect();
    known.sort();
    ensure!(
        known.contains(&dbt_project),
        "unknown dbt project `{dbt_project}`: the environment has {}",
        if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        }
    );
    drop(connection);
    let retired = DbtProjectRetired {
        account_id: account,
        project_id: ProjectId(row.project_id),
        environment_id: id,
        dbt_project,
    };
    let projector = settings.projector(read_model::SEARCH_PATH)?;
    operator.write(&projector, retired.clone().into()).await?;
    output.one(&retired)?;
    output.note("Its nodes are no longer shown. They reappear when the project is uploaded again.")
}
