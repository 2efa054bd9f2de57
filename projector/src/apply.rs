//! Applies one event to the read model, or makes it a dead letter.

use std::collections::BTreeMap;

use read_model::artifacts::{Artifact, insert_artifacts};
use read_model::files::{delete_files, insert_files};
use read_model::journal::{
    Admission, add_to_ledger, begin_attempt, end_attempt, forget_attempt, generation, insert_dead_letter, lock_account,
    lock_account_alone, lock_contents, lock_event,
};
use read_model::prune::is_pruned;
use schemas::{AccountId, ArtifactsUploaded, Event, EventData, FileDeleted, FilesStored, Sha256, UploadedFile};
use sqlx::{Postgres, Transaction};
use tracing::Instrument;

use crate::content::Content;
use crate::{ApplyError, Projector, content, placement, prune, trace};

/// The number of attempts to apply an upload when data is removed in the meantime.
const TRIES: usize = 10;

/// The result of applying an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rows of the event are in the read model.
    Applied,
    /// The event was already applied or is a dead letter.
    Known,
    /// The event cannot be applied and became a dead letter.
    DeadLetter,
    /// Another projector is applying the event. Check the event again later, since that projector may die.
    Busy,
}

/// The files of an upload that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The files that were not read before.
    WhatIsNew,
    /// All files. Their content replaces what was read before.
    Everything,
}

/// The parts of an event that are projected.
struct Upload {
    account: AccountId,
    /// The artifacts of dbt in the upload, and the data of each.
    artifacts: Option<(ArtifactsUploaded, Vec<Artifact>)>,
    /// The files that clients find by tag and name.
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
    /// Applies an event permanently. Afterwards it is in the ledger or a dead letter, unless another projector is applying it.
    ///
    /// # Errors
    /// Returns an error if the event should be tried again later, and nothing was changed. It is never [`ApplyError::Rejected`].
    pub async fn apply(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let Some(turn) = self.take_turn(event).await? else {
            return Ok(Outcome::Busy);
        };
        let result = self.attempt(event).await;
        end_turn(turn).await;
        result
    }

    /// Applies a dead letter again. It remains a dead letter until its rows are in the read model.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::apply`].
    pub async fn retry(&self, event: &Event) -> Result<Outcome, ApplyError> {
        let Some(turn) = self.take_turn(event).await? else {
            return Ok(Outcome::Busy);
        };
        let mut result = self.work(event).await;
        if let Ok(Outcome::Known) = result {
            // The event was applied in another way and is not a dead letter any more.
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

    /// Prevents others from starting an attempt, which would be counted. Returns `None` if another projector is applying the event.
    ///
    /// A transaction holds the lock, since it always ends when the attempt does. Each event that is being applied uses one connection for
    /// this and at most one more. Few are applied at once, so the pool has enough connections.
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
                let cause = "several attempts began and none finished: the event may kill its projector, or take longer than the statement timeout";
                return self.record_dead_letter(event, cause).await;
            }
            Admission::Admitted => {}
        }
        let result = self.work(event).await;
        if let Err(ApplyError::Unavailable(_)) = result {
            // If this fails as well, the start counts. That is acceptable, since the outage is noticed again before the fifth start.
            if let Err(error) = forget_attempt(&self.pool, event.id).await {
                tracing::debug!(event_id = %event.id, %error, "could not forget the attempt");
            }
        }
        result
    }

    async fn work(&self, event: &Event) -> Result<Outcome, ApplyError> {
        // It runs in its own task, so that a panic affects only this event.
        let task = tokio::spawn({
            let (projector, event) = (self.clone(), event.clone());
            async move { projector.project(&event).await }.in_current_span()
        });
        match task.await {
            Ok(Err(ApplyError::Rejected(cause))) => self.record_dead_letter(event, &cause).await,
            Ok(result) => result,
            Err(panic) => {
                self.record_dead_letter(event, &format!("the projector panicked: {panic}"))
                    .await
            }
        }
    }

    /// Applies an upload again in one transaction, and reads its files again. Other events are applied only if they were not applied
    /// before.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`Projector::apply`], and [`ApplyError::Rejected`] if the event can no longer be applied. In
    /// that case, the rows from before remain.
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
                recorded => recorded,
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
        trace::mark_failed();
        Ok(Outcome::DeadLetter)
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
            | EventData::ConnectionRecorded(_)
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
        let mut change = self.begin_change(event.id, deleted.account_id).await?;
        lock_account(&mut change, deleted.account_id).await?;
        if !add_to_ledger(&mut change, event.id).await? {
            return Ok(Outcome::Known);
        }
        delete_files(&mut change, event.id, event.time, deleted).await?;
        change.commit().await?;
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
        let cause = format!("data that the event needs was removed {TRIES} times in the meantime");
        Err(ApplyError::Unavailable(cause))
    }

    /// Returns `None` if data of the account was removed, or the read model was replaced, after the check of what has to be read.
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
            // The order is always the same, so that two uploads of the same files cannot deadlock.
            let files: BTreeMap<Sha256, &UploadedFile> = upload.files.iter().map(|file| (file.sha256, file)).collect();
            for file in files.into_values() {
                contents.extend(content::read(self, upload, file, event.time, reading).await?);
            }
        }
        let mut change = self.begin_change(event.id, account).await?;
        match reading {
            Reading::WhatIsNew => lock_account(&mut change, account).await?,
            Reading::Everything => lock_account_alone(&mut change, account).await?,
        }
        if generation(&mut change, account).await? != expected {
            return Ok(None);
        }
        if reading == Reading::Everything {
            prune::forget_upload(&mut change, account, event.id, pruned).await?;
        }
        if !add_to_ledger(&mut change, event.id).await? {
            return Ok(Some(Outcome::Known));
        }
        if let Some(stored) = &upload.stored {
            insert_files(&mut change, event.id, event.time, stored).await?;
        }
        if let Some((upload, artifacts)) = &upload.artifacts {
            let mut artifacts = artifacts.clone();
            for artifact in &mut artifacts {
                artifact.pruned = pruned;
            }
            if contents.iter().any(Content::adds_contents) {
                lock_contents(&mut change, account).await?;
            }
            for content in contents {
                content.write(&mut change, upload).await?;
            }
            insert_artifacts(&mut change, upload, &artifacts).await?;
            placement::place(&mut change, &self.bucket, upload, artifacts, reading).await?;
        }
        change.commit().await?;
        let lag = (self.clock.now() - event.time).as_seconds_f64();
        metrics::histogram!("dbt_api_projection_lag_seconds").record(lag);
        tracing::info!(event_id = %event.id, account_id = %account, kind = event.kind, lag, "applied");
        Ok(Some(Outcome::Applied))
    }
}

async fn end_turn(turn: Transaction<'static, Postgres>) {
    if let Err(error) = turn.rollback().await {
        // The lock ends with its connection anyway.
        tracing::debug!(%error, "could not release the lock of an event");
    }
}
