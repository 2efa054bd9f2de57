//! Projects Airflow's observations of DAG runs.

use directory::note_change;
use read_model::{Observation, add_to_ledger, end_attempt, insert_observation, lock_account, lock_placement};
use schemas::{AirflowRunObserved, Event};

use crate::placement::{self, Place};
use crate::{ApplyError, Outcome, Projector};

impl Projector {
    pub(crate) async fn project_observation(
        &self,
        event: &Event,
        observed: &AirflowRunObserved,
    ) -> Result<Outcome, ApplyError> {
        let place = Place {
            account_id: observed.account_id,
            project_id: observed.project_id,
            environment_id: observed.environment_id,
        };
        let observation = Observation::of_event(event.id, event.time, observed);
        let mut transaction = self.pool.begin().await?;
        lock_account(&mut transaction, place.account_id).await?;
        if !add_to_ledger(&mut transaction, event.id).await? {
            return Ok(Outcome::Known);
        }
        lock_placement(&mut transaction, place.environment_id).await?;
        let entered = insert_observation(&mut transaction, observed, &observation).await?;
        placement::place_observed(&mut transaction, &self.bucket, place, &observation.key(), entered).await?;
        end_attempt(&mut transaction, event.id).await?;
        note_change(&mut transaction, place.account_id).await?;
        transaction.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %place.account_id, kind = event.kind, lag, "applied");
        Ok(Outcome::Applied)
    }
}
