//! Converts the content of files to rows. Each content is read only once.

mod catalog;
mod manifest;
mod reading;
mod results;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use read_model::artifacts::Uploaded;
use read_model::catalogs::{Catalog, insert_catalogs, known_catalogs};
use read_model::manifests::{ContentId, known_manifests};
use read_model::placement::ResultsId;
use read_model::results::{ResultFile, insert_results, known_results};
use schemas::{AccountId, ArtifactKind, ArtifactsUploaded, UploadedFile};
use sqlx::PgConnection;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use self::manifest::ReadManifest;
pub(crate) use self::reading::Reading;
use crate::{ApplyError, Projector};

/// The number of files that are fetched and read at the same time.
const READ_AT_ONCE: usize = 8;

/// How long a file is waited for after another one was read, while other events wait.
const MAX_GAP: Duration = Duration::from_secs(5);

/// Identifies the rows of a content. They are written in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ContentKey {
    Manifest(ContentId),
    Catalog(ContentId),
    /// Results are stored once for each environment, since their times depend on the first upload.
    Results(ResultsId),
}

impl ContentKey {
    /// Returns `None` for files that are only kept.
    fn of(upload: &ArtifactsUploaded, file: &UploadedFile) -> Option<Self> {
        let id = (upload.account_id, file.sha256);
        match file.kind {
            ArtifactKind::Manifest => Some(Self::Manifest(id)),
            ArtifactKind::Catalog => Some(Self::Catalog(id)),
            ArtifactKind::RunResults | ArtifactKind::Sources | ArtifactKind::Freshness => {
                Some(Self::Results(ResultsId {
                    account: upload.account_id,
                    environment: upload.environment_id,
                    sha256: file.sha256,
                }))
            }
            ArtifactKind::SemanticManifest | ArtifactKind::Other => None,
        }
    }

    /// Returns the contents of an upload.
    pub(crate) fn of_upload(upload: &ArtifactsUploaded) -> impl Iterator<Item = (Self, &UploadedFile)> {
        upload
            .files
            .iter()
            .filter_map(|file| Some((Self::of(upload, file)?, file)))
    }

    pub(crate) fn account(&self) -> AccountId {
        match self {
            Self::Manifest((account, _)) | Self::Catalog((account, _)) => *account,
            Self::Results(id) => id.account,
        }
    }
}

/// A content that has to be read.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    file: UploadedFile,
    /// When the file was uploaded first, as far as the uploads that are applied show.
    uploaded_at: DateTime<Utc>,
}

impl Unread {
    /// The size of the file, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.file.size
    }
}

/// Returns the contents of these uploads that have to be read.
pub(crate) async fn unread(
    connection: &mut PgConnection,
    uploads: impl Iterator<Item = &Uploaded>,
    reading: Reading,
) -> Result<BTreeMap<ContentKey, Unread>, ApplyError> {
    let mut contents: BTreeMap<ContentKey, Unread> = BTreeMap::new();
    for Uploaded { upload, artifacts } in uploads {
        let Some(uploaded_at) = artifacts.first().map(|artifact| artifact.event_time) else {
            continue;
        };
        for (key, file) in ContentKey::of_upload(upload) {
            let unread = contents.entry(key).or_insert_with(|| Unread {
                file: file.clone(),
                uploaded_at,
            });
            unread.uploaded_at = unread.uploaded_at.min(uploaded_at);
        }
    }
    if reading == Reading::WhatIsNew {
        let known = known(connection, &contents).await?;
        contents.retain(|key, _| !known.contains(key));
    }
    Ok(contents)
}

async fn known(
    connection: &mut PgConnection,
    contents: &BTreeMap<ContentKey, Unread>,
) -> Result<HashSet<ContentKey>, ApplyError> {
    let (mut manifests, mut catalogs, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for key in contents.keys() {
        match key {
            ContentKey::Manifest(id) => manifests.push(*id),
            ContentKey::Catalog(id) => catalogs.push(*id),
            ContentKey::Results(id) => results.push(*id),
        }
    }
    let manifests = known_manifests(&mut *connection, &manifests).await?;
    let catalogs = known_catalogs(&mut *connection, &catalogs).await?;
    let results = known_results(connection, &results).await?;
    let known = manifests.into_iter().map(ContentKey::Manifest);
    let known = known.chain(catalogs.into_iter().map(ContentKey::Catalog));
    Ok(known.chain(results.into_iter().map(ContentKey::Results)).collect())
}

/// Contents that were fetched, or the reason why not.
pub(crate) type Contents = BTreeMap<ContentKey, Result<Content, ApplyError>>;

/// How long files are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileWaits {
    /// Each not long after the one before, because other events wait.
    Short,
    /// The first as long as the bucket allows, so that something is read in any case, and each other one not long after the one before.
    AfterFirst,
    /// As long as the bucket allows.
    Unlimited,
}

/// Fetches and reads contents, several at the same time. Those that are not waited for any longer are left out.
pub(crate) async fn read_all(
    projector: &Projector,
    unread: BTreeMap<ContentKey, Unread>,
    waits: FileWaits,
) -> Contents {
    let mut reads = stream::iter(unread)
        .map(|(key, unread)| async move { (key, read(projector, key, &unread).await) })
        .buffer_unordered(READ_AT_ONCE);
    if waits == FileWaits::Unlimited {
        return reads.collect().await;
    }
    let mut contents = Contents::new();
    if waits == FileWaits::AfterFirst {
        contents.extend(reads.next().await);
    }
    while let Ok(Some((key, content))) = timeout(MAX_GAP, reads.next()).await {
        contents.insert(key, content);
    }
    contents
}

async fn read(
    projector: &Projector,
    key: ContentKey,
    Unread { file, uploaded_at }: &Unread,
) -> Result<Content, ApplyError> {
    match key {
        ContentKey::Manifest((account, _)) => manifest::read(projector, account, file)
            .await
            .map(|manifest| Content::Manifest(Box::new(manifest))),
        ContentKey::Catalog((account, _)) => catalog::read(projector, account, file).await.map(Content::Catalog),
        ContentKey::Results(id) => results::read(projector, id, file, *uploaded_at)
            .await
            .map(Content::Results),
    }
}

/// A file that was read and is ready to be written.
pub(crate) enum Content {
    Manifest(Box<ReadManifest>),
    Results(ResultFile),
    Catalog(Catalog),
}

/// Files that were read, by kind.
#[derive(Default)]
pub(crate) struct Ready {
    manifests: Vec<ReadManifest>,
    catalogs: Vec<Catalog>,
    results: Vec<ResultFile>,
    /// The accounts of the manifests and catalogs.
    accounts: BTreeSet<AccountId>,
}

impl Ready {
    /// Returns the error of the first file that could not be read.
    pub(crate) fn from_contents(contents: Contents) -> Result<Self, ApplyError> {
        let mut ready = Self::default();
        for (key, content) in contents {
            match content? {
                Content::Manifest(manifest) => {
                    ready.accounts.insert(key.account());
                    ready.manifests.push(*manifest);
                }
                Content::Catalog(catalog) => {
                    ready.accounts.insert(key.account());
                    ready.catalogs.push(catalog);
                }
                Content::Results(results) => ready.results.push(results),
            }
        }
        Ok(ready)
    }

    /// Returns the accounts to which manifests and catalogs are added, sorted.
    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.accounts.iter().copied().collect()
    }

    /// Writes the manifests and catalogs, under [`read_model::journal::lock_contents`].
    pub(crate) async fn write_of_accounts(
        &mut self,
        transaction: &mut PgConnection,
        reading: Reading,
    ) -> Result<(), ApplyError> {
        manifest::write_all(transaction, mem::take(&mut self.manifests), reading).await?;
        insert_catalogs(transaction, &mem::take(&mut self.catalogs)).await?;
        Ok(())
    }

    /// Writes the results, under [`read_model::placement::lock_placement`].
    pub(crate) async fn write_results(self, transaction: &mut PgConnection) -> Result<(), ApplyError> {
        Ok(insert_results(transaction, &self.results).await?)
    }
}

/// Waits until there is memory for contents of this size. All of it is taken at once, so that no two batches can each hold a part and wait for
/// the rest. A size above the limit gets all of the memory.
pub(crate) async fn reserve(projector: &Projector, bytes: u64) -> Result<OwnedSemaphorePermit, ApplyError> {
    let mib = match bytes {
        // Where nothing has to be read, nobody waits for those who read much.
        0 => 0,
        _ => usize::try_from(bytes >> 20).map_or(crate::MEMORY_MIB, |mib| (mib + 1).min(crate::MEMORY_MIB)),
    };
    let permits = u32::try_from(mib).unwrap_or(u32::MAX);
    let memory = Arc::clone(&projector.memory);
    memory
        .acquire_many_owned(permits)
        .await
        .map_err(|_| ApplyError::Unavailable("the projector is stopping".to_owned()))
}
