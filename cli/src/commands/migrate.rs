//! Implements `dbt-api migrate`.

use anyhow::Context;
use read_model::migrations::{self, State};
use sqlx::Connection;

use crate::missing::holds_accounts;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    if read_model::ids::are_claimed_one_by_one(&mut settings.owner().await?).await? {
        output.note(
            "This version claims the numbers of runs in segments, which earlier versions cannot read: stop all projectors of earlier versions \
             before you start one of this version.",
        )?;
    }
    let was_absent = migrations::state(&mut settings.owner().await?).await? == Some(State::Absent);
    migrate(settings).await?;
    let to_recover = match settings.open_bucket() {
        Ok(bucket) => holds_accounts(&bucket).await,
        Err(_) => false,
    };
    output.done(match (was_absent, to_recover) {
        (false, _) => "The tables are up to date.",
        (true, false) => "The tables were created.",
        (true, true) => {
            "The tables were created, and the bucket contains accounts: run `dbt-api recover` before you start the services."
        }
    })?;
    if read_model::format::needs_rebuild(&mut settings.owner().await?).await? {
        output.note(
            "Earlier uploads were projected by an older version. Run `dbt-api rebuild --accept-differences` soon; uploads and reads continue \
             meanwhile. Until then, compiled code and catalog columns of earlier uploads may be missing.",
        )?;
    }
    Ok(())
}

/// Prints the SQL with which an administrator creates the roles.
pub(crate) fn print_roles(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let sql = migrations::roles_for(settings.database.user());
    output.lines(&sql.lines().map(str::to_owned).collect::<Vec<_>>())
}

/// Brings the database's roles and tables up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let mut connection = settings.owner().await?;
    migrations::migrate(&mut connection).await.context(
        "the migrations failed: DB_USER must own the database, and must have CREATEROLE, unless an administrator has run what \
         `dbt-api migrate --print-roles` prints",
    )?;
    connection.close().await?;
    Ok(())
}
