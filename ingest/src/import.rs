//! Imports manifests of the earlier dbt-api into the journal, with the times of their original uploads.

use bucket::{Bucket, LegacyManifest};
use chrono::SubsecRound;
use directory::EnvironmentEntry;
use futures_util::TryStreamExt;
use schemas::{ArtifactsUploaded, Event, EventId, Sha256, TokenId, UploadRoute};
use uuid::Builder;

use crate::Settings;
use crate::spool::{Expected, Spool, SpoolError};
use crate::store::NamedFile;

/// Why a manifest was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// This manifest is not valid; others can still be imported.
    #[error("{0}")]
    Refused(String),
    /// One of the buckets failed.
    #[error(transparent)]
    Bucket(bucket::Error),
    /// This machine cannot spool the manifest.
    #[error("{0}")]
    Spool(String),
    /// The event cannot be written.
    #[error("cannot write the event as JSON: {0}")]
    Event(#[from] serde_json::Error),
}

impl From<bucket::Error> for ImportError {
    fn from(error: bucket::Error) -> Self {
        match error {
            bucket::Error::NotFound { .. } | bucket::Error::Corrupt { .. } => Self::Refused(error.to_string()),
            error => Self::Bucket(error),
        }
    }
}

impl From<SpoolError> for ImportError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Scan(error) => Self::Refused(error.to_string()),
            SpoolError::Disk(_) | SpoolError::Thread(_) => Self::Spool(error.to_string()),
        }
    }
}

/// Returns the event id for a manifest of the earlier dbt-api. It is computed from the object's key and time, so that the same object is not
/// imported twice, but a replaced object is imported again.
#[must_use]
pub fn import_id(manifest: &LegacyManifest) -> EventId {
    let milliseconds = u64::try_from(manifest.last_modified.timestamp_millis()).unwrap_or(0);
    let mut bits = [0; 10];
    bits.copy_from_slice(&Sha256::of(manifest.key().as_bytes()).0[..10]);
    EventId(Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid())
}

/// Copies a manifest of the earlier dbt-api from the bucket `from` to the artifacts and the journal of the bucket `to`. This may be repeated.
/// The caller must apply the event.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    settings: &Settings,
    from: &Bucket,
    to: &Bucket,
    entry: EnvironmentEntry,
    manifest: &LegacyManifest,
) -> Result<(), ImportError> {
    let limit = settings.max_upload_bytes;
    if manifest.size > limit {
        let size = manifest.size;
        return Err(ImportError::Refused(format!(
            "it has {size} bytes; MAX_UPLOAD_BYTES allows {limit}"
        )));
    }
    let mut content = from.open_legacy(manifest).await?;
    let spool = Spool::begin(settings.spool_dir.clone(), Expected::Artifact);
    while let Some(piece) = content.try_next().await? {
        if !spool.push(piece).await {
            break;
        }
    }
    let file = spool.finish().await?;
    let name = file.scanned.kind.file_name().unwrap_or("file").to_owned();
    let NamedFile { uploaded, compressed } = NamedFile::new(name, file);
    to.put_artifact(entry.account_id, uploaded.sha256, compressed).await?;
    let (dag_id, run_id) = match &manifest.run {
        Some(run) => (Some(run.dag_id.clone()), Some(run.run_id.clone())),
        None => (None, None),
    };
    let data = ArtifactsUploaded {
        account_id: entry.account_id,
        project_id: entry.project_id,
        environment_id: entry.environment_id,
        dag_id,
        run_id,
        tag: None,
        route: Some(UploadRoute::Import),
        uploader: TokenId::NONE,
        files: vec![uploaded],
    };
    // Microseconds, like PostgreSQL and all other times.
    let time = manifest.last_modified.trunc_subsecs(6);
    let event = Event::new(import_id(manifest), time, &data.into())?;
    Ok(to.put_event(&event).await?)
}
