//! Projects that a dbt project was removed from an environment.

use read_model::aspects::aspects_of_files;
use read_model::journal::{add_to_ledger, lock_accounts};
use read_model::placement::lock_placement;
use read_model::projects::{manifests_of_project, retire_project};
use read_model::text::without_nul;
use schemas::{DbtProjectRetired, Event};
use sqlx::PgConnection;

use crate::change::Change;
use crate::state::shrink;
use crate::{ApplyError, Outcome, Projector};

impl Projector {
    pub(super) async fn project_retirement(
        &self,
        connection: &mut PgConnection,
        event: &Event,
        retired: &DbtProjectRetired,
    ) -> Result<Outcome, ApplyError> {
        let (account, environment) = (retired.account_id, retired.environment_id);
        let name = without_nul(&retired.dbt_project);
        let mut change = Change::begin(connection).await?;
        lock_accounts(&mut change, &[account]).await?;
        if add_to_ledger(&mut change, &[(account, event.id)]).await?.is_empty() {
            change.revert().await;
            return Ok(Outcome::Known);
        }
        lock_placement(&mut change, &[environment]).await?;
        if retire_project(&mut change, account, environment, &name, event.time).await? {
            let files = manifests_of_project(&mut change, account, environment, &name, event.time).await?;
            let before = aspects_of_files(&mut change, account, environment, &files).await?;
            shrink(&mut change, account, environment, &before).await?;
        }
        change.commit(&[event.id], &[account]).await?;
        Ok(Outcome::Applied)
    }
}
