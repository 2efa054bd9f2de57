//! Manifests of the earlier dbt-api: into the journal as if they had been uploaded when they were.

use bucket::{Bucket, LegacyManifest};
use chrono::SubsecRound;
use directory::Place;
use futures_util::TryStreamExt;
use schemas::{ArtifactsUploaded, Event, EventId, Sha256, TokenId, UploadRoute};
use uuid::Builder;

use crate::Settings;
use crate::spool::{Due, Spool, SpoolError};
use crate::store::NamedFile;

/// Why a manifest was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is at fault itself: others can be imported.
    #[error("{0}")]
    Refused(String),
    /// A bucket cannot be used.
    #[error(transparent)]
    Bucket(bucket::Error),
    /// This machine cannot keep it while it is read.
    #[error("{0}")]
    Spool(String),
    /// Its event cannot be written.
    #[error("the event cannot be written as JSON: {0}")]
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

/// The event that tells of a manifest of the earlier dbt-api. It follows from the key and the time of the object, so that nothing is
/// imported twice, and what was replaced since is something new.
#[must_use]
pub fn import_id(manifest: &LegacyManifest) -> EventId {
    let milliseconds = u64::try_from(manifest.last_modified.timestamp_millis()).unwrap_or(0);
    let mut bits = [0; 10];
    bits.copy_from_slice(&Sha256::of(manifest.key().as_bytes()).0[..10]);
    EventId(Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid())
}

/// Takes a manifest of the earlier dbt-api, which lies in the bucket `from`, into the artifacts and the journal of the bucket `to`. May
/// be repeated. To apply the event is the caller's.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    settings: &Settings,
    from: &Bucket,
    to: &Bucket,
    place: Place,
    manifest: &LegacyManifest,
) -> Result<(), ImportError> {
    let most = settings.max_upload_bytes;
    if manifest.size > most {
        let size = manifest.size;
        return Err(ImportError::Refused(format!(
            "it has {size} bytes; MAX_UPLOAD_BYTES allows {most}"
        )));
    }
    let mut content = from.open_legacy(manifest).await?;
    let spool = Spool::begin(settings.spool_dir.clone(), Due::Artifact);
    while let Some(piece) = content.try_next().await? {
        if !spool.push(piece).await {
            break;
        }
    }
    let file = spool.finish().await?;
    let name = file.scanned.kind.file_name().unwrap_or("file").to_owned();
    let NamedFile { told, compressed } = NamedFile::new(name, file);
    to.put_artifact(place.account_id, told.sha256, compressed).await?;
    let (dag_id, run_id) = match &manifest.run {
        Some(run) => (Some(run.dag_id.clone()), Some(run.run_id.clone())),
        None => (None, None),
    };
    let data = ArtifactsUploaded {
        account_id: place.account_id,
        project_id: place.project_id,
        environment_id: place.environment_id,
        dag_id,
        run_id,
        tag: None,
        route: Some(UploadRoute::Import),
        uploader: TokenId::NONE,
        files: vec![told],
    };
    // As precise as PostgreSQL, as all times are.
    let time = manifest.last_modified.trunc_subsecs(6);
    let event = Event::new(import_id(manifest), time, &data.into())?;
    Ok(to.put_event(&event).await?)
}
