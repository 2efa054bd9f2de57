//! Implements `dbt-api account`.

use anyhow::Context;
use directory::queries;
use operator::{Edit, no_account};
use schemas::RecordState;

use crate::args::AccountCommand;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: AccountCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        AccountCommand::Add { name, slug, new } => {
            settings.may_record()?;
            output.one(&operator.add_account(name, slug, &(&new).into()).await?)
        }
        AccountCommand::List => {
            let accounts = queries::accounts(&mut *operator.recovered_connection().await?).await?;
            output.many(
                &accounts,
                &["id", "name", "slug", "state", "created_at"],
                "There are no accounts yet. `dbt-api account add NAME` adds one.",
            )
        }
        AccountCommand::Show { id } => {
            let account = queries::account(&mut *operator.recovered_connection().await?, id).await?;
            output.one(&account.with_context(|| no_account(id))?)
        }
        AccountCommand::Rename { id, name, same_name } => {
            settings.may_record()?;
            output.one(&operator.edit_account(id, Edit::Rename(name, same_name.into())).await?)
        }
        AccountCommand::Retire { id } => {
            settings.may_record()?;
            output.one(&operator.edit_account(id, Edit::State(RecordState::Inactive)).await?)?;
            output.note(&format!(
                "Its uploads and its tokens are refused until `dbt-api account restore {id}`."
            ))
        }
        AccountCommand::Restore { id } => {
            settings.may_record()?;
            output.one(&operator.edit_account(id, Edit::State(RecordState::Active)).await?)
        }
    }
}
