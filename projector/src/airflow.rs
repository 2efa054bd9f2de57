//! Projects Airflow's observations of DAG runs.

use read_model::{Observation, add_to_ledger, insert_observation, lock_account, lock_placement};
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
        let mut change = self.begin_change(event.id, place.account_id).await?;
        lock_account(&mut change, place.account_id).await?;
        if !add_to_ledger(&mut change, event.id).await? {
            return Ok(Outcome::Known);
        }
        lock_placement(&mut change, place.environment_id).await?;
        let entered = insert_observation(&mut change, observed, &observation).await?;
        placement::place_observed(&mut change, &self.bucket, place, &observation.key(), entered).await?;
        change.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %place.account_id, kind = event.kind, lag, "applied");
        Ok(Outcome::Applied)
    }
}
