//! Converts the content of files to rows. Each content is read only once.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::{ArtifactKind, ArtifactsUploaded, Sha256, UploadedFile};
use sqlx::PgConnection;
use tokio::sync::OwnedSemaphorePermit;

use crate::apply::Reading;
use crate::catalog::{self, ReadCatalog};
use crate::manifest::{self, ReadManifest};
use crate::results::{self, ReadResults};
use crate::{ApplyError, Projector};

/// A file that was read and is ready to be written.
pub(crate) enum Content {
    /// A manifest that is not stored yet.
    Manifest(Box<ReadManifest>),
    /// Results that are not stored yet.
    Results(ReadResults),
    /// A catalog that is not stored yet.
    Catalog(ReadCatalog),
}

/// Reads a file from the bucket. Returns `None` if nothing of it has to be written.
pub(crate) async fn read(
    projector: &Projector,
    upload: &ArtifactsUploaded,
    file: &UploadedFile,
    uploaded_at: DateTime<Utc>,
    reading: Reading,
) -> Result<Option<Content>, ApplyError> {
    Ok(match file.kind {
        ArtifactKind::Manifest => manifest::read(projector, upload.account_id, file, reading)
            .await?
            .map(|manifest| Content::Manifest(Box::new(manifest))),
        ArtifactKind::RunResults | ArtifactKind::Sources | ArtifactKind::Freshness => {
            results::read(projector, upload, file, uploaded_at, reading)
                .await?
                .map(Content::Results)
        }
        ArtifactKind::Catalog => catalog::read(projector, upload.account_id, file, reading)
            .await?
            .map(Content::Catalog),
        ArtifactKind::SemanticManifest | ArtifactKind::Other => None,
    })
}

impl Content {
    /// Whether nodes, code or catalog tables may have to be added.
    pub(crate) fn adds_contents(&self) -> bool {
        match self {
            Self::Manifest(manifest) => manifest.adds_contents(),
            Self::Catalog(_) => true,
            Self::Results(_) => false,
        }
    }

    /// Writes the rows.
    pub(crate) async fn write(
        self,
        transaction: &mut PgConnection,
        upload: &ArtifactsUploaded,
    ) -> Result<(), ApplyError> {
        match self {
            Self::Manifest(manifest) => manifest.write(transaction, upload.account_id).await,
            Self::Results(results) => results.write(transaction, upload).await,
            Self::Catalog(catalog) => catalog.write(transaction, upload.account_id).await,
        }
    }
}

/// Limits the times of results to their first upload, which may be this one. Returns the files whose results changed, so that everything
/// derived from them can be recomputed. Meanwhile, no other upload of the environment may be placed.
pub(crate) async fn limit_times(
    transaction: &mut PgConnection,
    upload: &ArtifactsUploaded,
    reading: Reading,
) -> Result<Vec<Sha256>, ApplyError> {
    let (account, environment) = (upload.account_id, upload.environment_id);
    let is_results = |file: &&UploadedFile| file.kind.is_results();
    let files: BTreeSet<Sha256> = upload.files.iter().filter(is_results).map(|file| file.sha256).collect();
    let mut changed = Vec::new();
    for file in files {
        let limited = read_model::results::limit_times(transaction, account, environment, file).await?;
        if limited || reading == Reading::Everything {
            changed.push(file);
        }
    }
    Ok(changed)
}

/// Waits until there is memory for all files of an upload, so that two uploads never wait for each other. An upload that is larger than the
/// limit gets all of the memory.
pub(crate) async fn reserve(projector: &Projector, files: &[UploadedFile]) -> Result<OwnedSemaphorePermit, ApplyError> {
    let size = files.iter().fold(0_u64, |size, file| size.saturating_add(file.size));
    let mib = usize::try_from(size >> 20).map_or(crate::MEMORY_MIB, |mib| (mib + 1).min(crate::MEMORY_MIB));
    let permits = u32::try_from(mib).unwrap_or(u32::MAX);
    let memory = Arc::clone(&projector.memory);
    memory
        .acquire_many_owned(permits)
        .await
        .map_err(|_| ApplyError::Unavailable("the projector is stopping".to_owned()))
}

/// Runs work that keeps a core busy on a separate thread.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
) -> Result<T, ApplyError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| ApplyError::Rejected(format!("reading the file failed: {panic}")))?
}

pub(crate) fn rejected(error: impl std::fmt::Display) -> ApplyError {
    ApplyError::Rejected(error.to_string())
}
