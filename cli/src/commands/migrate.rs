//! `dbt-api migrate`

use anyhow::Context;
use sqlx::Connection;

use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    migrate(settings).await?;
    output.done("The tables are up to date.")
}

/// Brings the tables up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let mut connection = settings.owner().await?;
    read_model::MIGRATOR.run(&mut connection).await.context(
        "the migrations failed; DB_USER has to own the database, and to have CREATEROLE unless the roles exist",
    )?;
    connection.close().await?;
    Ok(())
}
