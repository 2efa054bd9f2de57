//! One event into the read model, or to the dead letters.

use read_model::{
    Admission, Artifact, Generation, add_to_ledger, begin_attempt, bury, end_attempt, forget_attempt, generation,
    insert_artifacts, is_pruned, lock_account,
};
use schemas::{AccountId, ArtifactsUploaded, Event, EventData};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{ApplyError, Projector, content, placement};

/// How the work upon an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are in the read model.
    Applied,
    /// It was applied, or found to be a dead letter, before.
    Known,
    /// It cannot be applied and is among the dead letters now.
    Buried,
}

impl Projector {
    /// Applies an event, once and for all: afterwards it is in the ledger or among the dead letters.
    ///
    /// # Errors
    /// Only [`ApplyError::Unavailable`]: then nothing was changed, and the event is to be tried again later.
    pub async fn apply(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let admission = begin_attempt(&mut connection, event.id).await?;
        drop(connection);
        match admission {
            Admission::Done => return Ok(Outcome::Known),
            Admission::Exhausted => {
                let cause =
                    "the work upon it was begun several times and never came to an end: it may kill its projector";
                return self.bury(event, cause).await;
            }
            Admission::Admitted => {}
        }
        // In a task of its own, so that a panic ends the work upon this event and nothing else.
        let task = tokio::spawn({
            let (projector, event) = (self.clone(), event.clone());
            async move { projector.project(&event).await }
        });
        match task.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(ApplyError::Rejected(cause))) => self.bury(event, &cause).await,
            Ok(Err(unavailable)) => {
                // When this fails as well, the start counts: an outage is noticed again before the fifth.
                if let Err(error) = forget_attempt(&self.pool, event.id).await {
                    tracing::debug!(event_id = %event.id, %error, "the attempt could not be taken back");
                }
                Err(unavailable)
            }
            Err(panic) => {
                self.bury(event, &format!("the projector failed upon it: {panic}"))
                    .await
            }
        }
    }

    async fn bury(&self, event: &Event, cause: &str) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        bury(&mut transaction, event, cause).await?;
        transaction.commit().await?;
        metrics::counter!("dbt_api_dead_letters_total").increment(1);
        tracing::error!(event_id = %event.id, kind = event.kind, cause, "the event became a dead letter");
        Ok(Outcome::Buried)
    }

    async fn project(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let data = event.data().map_err(|error| ApplyError::Rejected(error.to_string()))?;
        match &data {
            EventData::ArtifactsUploaded(upload) => self.project_upload(event, upload).await,
            EventData::AccountRecorded(_)
            | EventData::ProjectRecorded(_)
            | EventData::EnvironmentRecorded(_)
            | EventData::TokenIssued(_)
            | EventData::TokenRevoked(_) => self.project_directory(event, &data).await,
            EventData::RetentionPruned(pruned) => self.project_prune(event, pruned).await,
            EventData::FilesStored(_) | EventData::FileDeleted(_) | EventData::AirflowRunObserved(_) => {
                Err(ApplyError::Rejected(format!(
                    "events of type `{}` are not applied by this version; upgrade dbt-api, then run `dbt-api dead-letters retry`",
                    event.kind
                )))
            }
        }
    }

    async fn project_directory(&self, event: &Event, data: &EventData) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        directory::apply(&mut transaction, event, data).await?;
        end_attempt(&mut transaction, event.id).await?;
        transaction.commit().await?;
        Ok(Outcome::Applied)
    }

    async fn project_upload(&self, event: &Event, upload: &ArtifactsUploaded) -> Result<Outcome, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let generation = generation(&mut connection).await?;
        let pruned = is_pruned(&mut connection, event.id).await?;
        drop(connection);
        let memory = content::reserve(self, upload).await?;
        let mut contents = Vec::new();
        for (place, file) in upload.files.iter().enumerate() {
            let is_repeated = upload.files[..place].iter().any(|other| other.sha256 == file.sha256);
            if !is_repeated && !pruned {
                contents.extend(content::read(self, upload, file, event.time).await?);
            }
        }
        let mut transaction = self.begin(upload.account_id, generation).await?;
        if !add_to_ledger(&mut transaction, event.id).await? {
            return Ok(Outcome::Known);
        }
        // It may have been pruned since.
        let pruned = is_pruned(&mut transaction, event.id).await?;
        let artifacts = Artifact::of_upload(event.id, event.time, upload, pruned);
        insert_artifacts(&mut transaction, upload, &artifacts).await?;
        for content in contents.into_iter().filter(|_| !pruned) {
            content.write(&mut transaction, upload).await?;
        }
        drop(memory);
        content::limit_times(&mut transaction, upload).await?;
        placement::place(&mut transaction, &self.bucket, upload, artifacts).await?;
        end_attempt(&mut transaction, event.id).await?;
        transaction.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %upload.account_id, files = upload.files.len(), lag, "applied");
        Ok(Outcome::Applied)
    }

    /// A transaction in which the account is not pruned. What was looked up before it must still hold.
    async fn begin(
        &self,
        account: AccountId,
        expected: Generation,
    ) -> Result<Transaction<'static, Postgres>, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        lock_account(&mut transaction, account).await?;
        require_generation(&mut transaction, expected).await?;
        Ok(transaction)
    }
}

/// While the transaction waited for its locks, a rebuilt read model may have taken the place of the one that was asked before.
pub(crate) async fn require_generation(transaction: &mut PgConnection, expected: Generation) -> Result<(), ApplyError> {
    if generation(transaction).await? == expected {
        Ok(())
    } else {
        let cause = "the read model was replaced by a rebuilt one meanwhile; the event is applied to that";
        Err(ApplyError::Unavailable(cause.to_owned()))
    }
}
