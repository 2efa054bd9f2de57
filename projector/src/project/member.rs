//! Events that are applied together.

use read_model::artifacts::{Artifact, Uploaded};
use read_model::files::StoredBy;
use schemas::{AccountId, AirflowRunObserved, Event, EventData, FileDeleted, UploadedFile};

use crate::ApplyError;
use crate::content::ContentKey;
use crate::placement::Parents;

/// An event that is applied together with others.
pub(super) struct Member {
    pub(super) event: Event,
    pub(super) account: AccountId,
    pub(super) data: Data,
}

/// What an event adds.
pub(super) enum Data {
    Upload {
        /// The artifacts of dbt in the upload.
        artifacts: Option<Uploaded>,
        /// The files that clients find by tag and name.
        stored: Option<StoredBy>,
    },
    Deletion(FileDeleted),
    Observation(AirflowRunObserved),
}

impl Member {
    pub(super) fn of(event: &Event) -> Result<Self, ApplyError> {
        let data = event.data().map_err(|error| ApplyError::Rejected(error.to_string()))?;
        let account = data.account_id();
        let account = account
            .ok_or_else(|| ApplyError::Rejected(format!("events of the type `{}` are about no account", event.kind)))?;
        let data = match data {
            EventData::ArtifactsUploaded(mut upload) => {
                upload.files = upload
                    .files
                    .into_iter()
                    .map(UploadedFile::with_kind_of_schema)
                    .collect();
                let artifacts = Artifact::of_upload(event.id, event.time, &upload);
                Data::Upload {
                    artifacts: Some(Uploaded { upload, artifacts }),
                    stored: None,
                }
            }
            EventData::FilesStored(stored) => Data::Upload {
                artifacts: Artifact::of_stored(event.id, event.time, &stored)
                    .map(|(upload, artifacts)| Uploaded { upload, artifacts }),
                stored: Some(StoredBy {
                    event: event.id,
                    time: event.time,
                    stored,
                }),
            },
            EventData::FileDeleted(deleted) => Data::Deletion(deleted),
            EventData::AirflowRunObserved(observed) => Data::Observation(observed),
            EventData::AccountRecorded(_)
            | EventData::ProjectRecorded(_)
            | EventData::EnvironmentRecorded(_)
            | EventData::ConnectionRecorded(_)
            | EventData::TokenIssued(_)
            | EventData::TokenRevoked(_)
            | EventData::RetentionPruned(_)
            | EventData::DbtProjectRetired(_)
            | EventData::OperatorTokenIssued(_)
            | EventData::OperatorTokenRevoked(_)
            | EventData::OperatorActed(_) => {
                let cause = format!("events of the type `{}` are not applied with others", event.kind);
                return Err(ApplyError::Rejected(cause));
            }
        };
        Ok(Self {
            event: event.clone(),
            account,
            data,
        })
    }

    pub(super) fn uploaded(&self) -> Option<&Uploaded> {
        match &self.data {
            Data::Upload { artifacts, .. } => artifacts.as_ref(),
            Data::Deletion(_) | Data::Observation(_) => None,
        }
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = ContentKey> {
        let uploads = self.uploaded().into_iter();
        uploads.flat_map(|uploaded| ContentKey::of_upload(&uploaded.upload).map(|(key, _)| key))
    }

    /// The environment in which the event assigns something to runs.
    pub(super) fn parents(&self) -> Option<Parents> {
        match &self.data {
            Data::Upload { artifacts, .. } => artifacts.as_ref().map(|uploaded| Parents {
                account: uploaded.upload.account_id,
                project: uploaded.upload.project_id,
                environment: uploaded.upload.environment_id,
            }),
            Data::Observation(observed) => Some(Parents {
                account: observed.account_id,
                project: observed.project_id,
                environment: observed.environment_id,
            }),
            Data::Deletion(_) => None,
        }
    }
}
