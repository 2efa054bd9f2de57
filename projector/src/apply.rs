//! One event into the read model, or to the dead letters.

use std::collections::BTreeMap;

use read_model::{
    Admission, Artifact, add_to_ledger, begin_attempt, bury, delete_files, end_attempt, forget_attempt, generation,
    insert_artifacts, insert_files, is_pruned, lock_account, lock_account_alone,
};
use schemas::{AccountId, ArtifactsUploaded, Event, EventData, FileDeleted, FilesStored, Sha256, UploadedFile};

use crate::placement::{self, Place};
use crate::{ApplyError, Projector, content, prune};

/// How often an upload is begun anew because something was removed meanwhile.
const TRIES: usize = 10;

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

/// Which files of an upload are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Those that were not read before.
    WhatIsNew,
    /// All, and what was read before of them is replaced.
    Everything,
}

/// What is projected of an upload.
struct Upload {
    account: AccountId,
    /// The artifacts of dbt in it, and what the event tells of each.
    artifacts: Option<(ArtifactsUploaded, Vec<Artifact>)>,
    /// The files that clients find again by tag and name.
    stored: Option<FilesStored>,
}

impl Upload {
    fn of_artifacts(event: &Event, upload: ArtifactsUploaded) -> Self {
        let artifacts = Artifact::of_upload(event.id, event.time, &upload);
        Self {
            account: upload.account_id,
            artifacts: Some((upload, artifacts)),
            stored: None,
        }
    }

    fn of_files(event: &Event, stored: FilesStored) -> Self {
        Self {
            account: stored.account_id,
            artifacts: Artifact::of_stored(event.id, event.time, &stored),
            stored: Some(stored),
        }
    }

    /// The files that are read.
    fn files(&self) -> &[UploadedFile] {
        self.artifacts.as_ref().map_or(&[], |(upload, _)| &upload.files)
    }
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

    /// Applies an upload that was applied before, with its files read anew, in one transaction. Other events are applied if they were not.
    ///
    /// # Errors
    /// As [`Projector::apply`].
    pub async fn apply_again(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let upload = match event.data() {
            Ok(EventData::ArtifactsUploaded(upload)) => Upload::of_artifacts(event, upload),
            Ok(EventData::FilesStored(stored)) => Upload::of_files(event, stored),
            _ => return self.apply(event).await,
        };
        match self.project_upload(event, &upload, Reading::Everything).await {
            Err(ApplyError::Rejected(cause)) => self.bury(event, &cause).await,
            result => result,
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
        match data {
            EventData::ArtifactsUploaded(upload) => {
                let upload = Upload::of_artifacts(event, upload);
                self.project_upload(event, &upload, Reading::WhatIsNew).await
            }
            EventData::FilesStored(stored) => {
                let upload = Upload::of_files(event, stored);
                self.project_upload(event, &upload, Reading::WhatIsNew).await
            }
            EventData::FileDeleted(deleted) => self.project_deletion(event, &deleted).await,
            EventData::AccountRecorded(_)
            | EventData::ProjectRecorded(_)
            | EventData::EnvironmentRecorded(_)
            | EventData::TokenIssued(_)
            | EventData::TokenRevoked(_) => self.project_directory(event, &data).await,
            EventData::RetentionPruned(pruned) => self.project_prune(event, &pruned).await,
            EventData::AirflowRunObserved(observed) => self.project_observation(event, &observed).await,
        }
    }

    async fn project_directory(&self, event: &Event, data: &EventData) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        directory::apply(&mut transaction, event, data).await?;
        end_attempt(&mut transaction, event.id).await?;
        transaction.commit().await?;
        Ok(Outcome::Applied)
    }

    async fn project_deletion(&self, event: &Event, deleted: &FileDeleted) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        lock_account(&mut transaction, deleted.account_id).await?;
        if !add_to_ledger(&mut transaction, event.id).await? {
            return Ok(Outcome::Known);
        }
        delete_files(&mut transaction, event.id, event.time, deleted).await?;
        end_attempt(&mut transaction, event.id).await?;
        transaction.commit().await?;
        Ok(Outcome::Applied)
    }

    async fn project_upload(&self, event: &Event, upload: &Upload, reading: Reading) -> Result<Outcome, ApplyError> {
        let memory = content::reserve(self, upload.files()).await?;
        for _ in 0..TRIES {
            if let Some(outcome) = self.try_upload(event, upload, reading).await? {
                drop(memory);
                return Ok(outcome);
            }
        }
        let cause = format!("what the event needs was removed {TRIES} times meanwhile");
        Err(ApplyError::Unavailable(cause))
    }

    /// None: something of the account was removed, or the read model was replaced, since it was looked what has to be read.
    async fn try_upload(
        &self,
        event: &Event,
        upload: &Upload,
        reading: Reading,
    ) -> Result<Option<Outcome>, ApplyError> {
        let account = upload.account;
        let mut connection = self.pool.acquire().await?;
        let expected = generation(&mut connection, account).await?;
        let pruned = is_pruned(&mut connection, event.id).await?;
        drop(connection);
        let mut contents = Vec::new();
        if let Some((upload, _)) = upload.artifacts.as_ref().filter(|_| !pruned) {
            // Always in the same order, so that two uploads of the same files do not wait for each other in a circle.
            let files: BTreeMap<Sha256, &UploadedFile> = upload.files.iter().map(|file| (file.sha256, file)).collect();
            for file in files.into_values() {
                contents.extend(content::read(self, upload, file, event.time, reading).await?);
            }
        }
        let mut transaction = self.pool.begin().await?;
        match reading {
            Reading::WhatIsNew => lock_account(&mut transaction, account).await?,
            Reading::Everything => lock_account_alone(&mut transaction, account).await?,
        }
        if generation(&mut transaction, account).await? != expected {
            return Ok(None);
        }
        if reading == Reading::Everything {
            prune::forget_upload(&mut transaction, account, event.id).await?;
        }
        if !add_to_ledger(&mut transaction, event.id).await? {
            return Ok(Some(Outcome::Known));
        }
        if let Some(stored) = &upload.stored {
            insert_files(&mut transaction, event.id, event.time, stored).await?;
        }
        if let Some((upload, artifacts)) = &upload.artifacts {
            let mut artifacts = artifacts.clone();
            for artifact in &mut artifacts {
                artifact.pruned = pruned;
            }
            insert_artifacts(&mut transaction, upload, &artifacts).await?;
            for content in contents {
                content.write(&mut transaction, upload).await?;
            }
            content::limit_times(&mut transaction, upload).await?;
            let place = Place {
                account_id: account,
                project_id: upload.project_id,
                environment_id: upload.environment_id,
            };
            placement::place(&mut transaction, &self.bucket, place, artifacts).await?;
        }
        end_attempt(&mut transaction, event.id).await?;
        transaction.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %account, kind = event.kind, lag, "applied");
        Ok(Some(Outcome::Applied))
    }
}
