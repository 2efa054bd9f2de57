//! Implements `dbt-api account`.

use anyhow::Context;
use directory::queries;

use crate::args::AccountCommand;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, command: AccountCommand, output: Output) -> anyhow::Result<()> {
    let operator = settings.operator()?;
    match command {
        AccountCommand::Add { name, slug } => {
            settings.may_add()?;
            output.one(&operator.add_account(name, slug).await?)
        }
        AccountCommand::List => {
            let accounts = queries::accounts(&mut *operator.connection().await?).await?;
            output.many(
                &accounts,
                "There are no accounts yet. `dbt-api account add NAME` adds one.",
            )
        }
        AccountCommand::Show { id } => {
            let account = queries::account(&mut *operator.connection().await?, id).await?;
            output.one(
                &account
                    .with_context(|| format!("unknown account `{id}`: `dbt-api account list` lists all accounts"))?,
            )
        }
    }
}
