//! Projects events of the directory: accounts, projects, environments, connections and tokens.

use read_model::journal::end_attempts;
use schemas::{Event, EventData};
use sqlx::{Connection, PgConnection};

use crate::{ApplyError, Outcome, Projector};

impl Projector {
    pub(super) async fn project_directory(
        &self,
        connection: &mut PgConnection,
        event: &Event,
        data: &EventData,
    ) -> Result<Outcome, ApplyError> {
        let mut transaction = connection.begin().await?;
        directory::apply(&mut transaction, event, data).await?;
        end_attempts(&mut transaction, &[event.id]).await?;
        transaction.commit().await?;
        Ok(Outcome::Applied)
    }
}
