//! `dbt-api migrate`

use anyhow::Context;
use sqlx::{Connection, PgConnection};

use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&settings.database.options())
        .await
        .context("PostgreSQL cannot be connected to; check DB_URL or DB_HOST, DB_USER, DB_PASS and DB_NAME")?;
    read_model::MIGRATOR.run(&mut connection).await.context(
        "the migrations failed; DB_USER has to own the database, and to have CREATEROLE unless the roles exist",
    )?;
    connection.close().await?;
    output.done("The tables are up to date.")
}
