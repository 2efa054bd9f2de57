//! Implements `dbt-api migrate`.

use anyhow::Context;
use sqlx::Connection;

use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    if read_model::ids::are_claimed_one_by_one(&mut settings.owner().await?).await? {
        output.note(
            "This version claims the numbers of runs in segments, which earlier versions cannot read: stop all projectors of earlier versions \
             before you start one of this version.",
        )?;
    }
    migrate(settings).await?;
    output.done("The tables are up to date.")?;
    if read_model::format::needs_rebuild(&mut settings.owner().await?).await? {
        output.note(
            "Earlier uploads were projected by an older version. Run `dbt-api rebuild --accept-differences` soon; uploads and reads continue \
             meanwhile. Until then, compiled code and catalog columns of earlier uploads may be missing.",
        )?;
    }
    Ok(())
}

/// Brings the database's tables up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let mut connection = settings.owner().await?;
    read_model::MIGRATOR.run(&mut connection).await.context(
        "the migrations failed: DB_USER must own the database, and must have CREATEROLE unless the roles exist",
    )?;
    connection.close().await?;
    Ok(())
}
