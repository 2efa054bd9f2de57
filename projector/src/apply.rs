//! One event into the read model, or to the dead letters.

use std::collections::BTreeMap;

use directory::note_change;
use read_model::{
    Admission, Artifact, add_to_ledger, begin_attempt, delete_files, end_attempt, forget_attempt, generation,
    insert_artifacts, insert_dead_letter, insert_files, is_pruned, lock_account, lock_account_alone, lock_contents,
    lock_event,
};
use schemas::{AccountId, ArtifactsUploaded, Event, EventData, FileDeleted, FilesStored, Sha256, UploadedFile};
use sqlx::{Postgres, Transaction};

use crate::content::Content;
use crate::{ApplyError, Projector, content, placement, prune};

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
    /// Another projector works upon it at this moment. It is to be looked at again later: the other may die.
    Busy,
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
    fn of_artifacts(event: &Event, mut upload: ArtifactsUploaded) -> Self {
        upload.files = upload
            .files
            .into_iter()
            .map(UploadedFile::with_kind_of_schema)
            .collect();
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
    /// Applies an event, once and for all: afterwards it is in the ledger or among the dead letters, unless another is at it.
    ///
    /// # Errors
    /// Never [`ApplyError::Rejected`]: nothing was changed, and the event is to be tried again later.
    pub async fn apply(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let Some(turn) = self.take_turn(event).await? else {
            return Ok(Outcome::Busy);
        };
        let result = self.attempt(event).await;
        end_turn(turn).await;
        result
    }

    /// Applies a dead letter once more. It stays one until its rows are in the read model.
    ///
    /// # Errors
    /// As [`Projector::apply`].
    pub async fn retry(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let Some(turn) = self.take_turn(event).await? else {
            return Ok(Outcome::Busy);
        };
        let mut result = self.work(event).await;
        if let Ok(Outcome::Known) = result {
            // It was applied otherwise, and is no dead letter any more.
            result = self.forget_letter(event).await;
        }
        end_turn(turn).await;
        result
    }

    async fn forget_letter(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        end_attempt(&mut connection, event.id).await?;
        Ok(Outcome::Known)
    }

    /// Keeps others from working upon the event, which would count as starts of it. None: another is at it.
    ///
    /// A transaction does it, since it ends in whatever way the work does. Whoever works upon an event holds one connection for this and at
    /// most one more, and few do so at once: the pool has enough for all.
    async fn take_turn(&self, event: &Event) -> Result<Option<Transaction<'static, Postgres>>, ApplyError> {
        let mut turn = self.pool.begin().await?;
        let is_mine = lock_event(&mut turn, event.id).await?;
        Ok(is_mine.then_some(turn))
    }

    async fn attempt(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let mut connection = self.pool.acquire().await?;
        let admission = begin_attempt(&mut connection, event.id).await?;
        drop(connection);
        match admission {
            Admission::Done => return Ok(Outcome::Known),
            Admission::Exhausted => {
                let cause = "the work upon it was begun several times and never came to an end: it may kill its projector, or take longer than a statement may";
                return self.record_dead_letter(event, cause).await;
            }
            Admission::Admitted => {}
        }
        let result = self.work(event).await;
        if let Err(ApplyError::Unavailable(_)) = result {
            // When this fails as well, the start counts: an outage is noticed again before the fifth.
            if let Err(error) = forget_attempt(&self.pool, event.id).await {
                tracing::debug!(event_id = %event.id, %error, "the attempt could not be taken back");
            }
        }
        result
    }

    async fn work(&self, event: &Event) -> Result<Outcome, ApplyError> {
        // In a task of its own, so that a panic ends the work upon this event and nothing else.
        let task = tokio::spawn({
            let (projector, event) = (self.clone(), event.clone());
            async move { projector.project(&event).await }
        });
        match task.await {
            Ok(Err(ApplyError::Rejected(cause))) => self.record_dead_letter(event, &cause).await,
            Ok(result) => result,
            Err(panic) => {
                self.record_dead_letter(event, &format!("the projector failed upon it: {panic}"))
                    .await
            }
        }
    }

    /// Applies an upload that was applied before, with its files read anew, in one transaction. Other events are applied if they were not.
    ///
    /// # Errors
    /// As [`Projector::apply`]; and [`ApplyError::Rejected`] when it cannot be applied any more: then it stays as it was applied before.
    pub async fn apply_again(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let upload = match event.data() {
            Ok(EventData::ArtifactsUploaded(upload)) => Upload::of_artifacts(event, upload),
            Ok(EventData::FilesStored(stored)) => Upload::of_files(event, stored),
            _ => return self.apply(event).await,
        };
        let Some(turn) = self.take_turn(event).await? else {
            return Ok(Outcome::Busy);
        };
        let mut result = self.project_upload(event, &upload, Reading::Everything).await;
        if let Err(ApplyError::Rejected(cause)) = result {
            result = match self.record_dead_letter(event, &cause).await {
                Ok(Outcome::Known) => Err(ApplyError::Rejected(cause)),
                buried => buried,
            };
        }
        end_turn(turn).await;
        result
    }

    /// Makes an event a dead letter, unless it was applied.
    async fn record_dead_letter(&self, event: &Event, cause: &str) -> Result<Outcome, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        let is_new = insert_dead_letter(&mut transaction, event, cause).await?;
        transaction.commit().await?;
        if !is_new {
            return Ok(Outcome::Known);
        }
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
            EventData::DbtProjectRetired(retired) => self.project_retirement(event, &retired).await,
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
        note_change(&mut transaction, deleted.account_id).await?;
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
            prune::forget_upload(&mut transaction, account, event.id, pruned).await?;
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
            if contents.iter().any(Content::adds_contents) {
                lock_contents(&mut transaction, account).await?;
            }
            for content in contents {
                content.write(&mut transaction, upload).await?;
            }
            insert_artifacts(&mut transaction, upload, &artifacts).await?;
            placement::place(&mut transaction, &self.bucket, upload, artifacts, reading).await?;
        }
        end_attempt(&mut transaction, event.id).await?;
        note_change(&mut transaction, account).await?;
        transaction.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %account, kind = event.kind, lag, "applied");
        Ok(Some(Outcome::Applied))
    }
}

async fn end_turn(turn: Transaction<'static, Postgres>) {
    if let Err(error) = turn.rollback().await {
        // With its connection the turn is gone as well.
        tracing::debug!(%error, "the turn could not be given back");
    }
}
