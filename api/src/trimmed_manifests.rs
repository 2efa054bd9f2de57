//! Trimmed manifests, which are made on first request and kept beside the originals.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use artifacts::Trimmer;
use bucket::{Bucket, Compressed, FrameSpool};
use bytes::Bytes;
use futures_util::TryStreamExt;
use schemas::{AccountId, Sha256};
use tokio::sync::mpsc::{self, Receiver};

use crate::error::Error;

/// zstd's fastest level. A trimmed manifest can be made again, so speed matters more than size.
const LEVEL: i32 = 1;

/// The compressed bytes that are kept in memory before they are put into the bucket; more go to a file.
const MAX_IN_MEMORY: usize = 1 << 20;

/// The number of decompressed pieces that may wait to be trimmed.
const PIECES_WAITING: usize = 4;

/// Identifies a manifest.
type Key = (AccountId, Sha256);

/// Makes trimmed manifests, each only once, however many clients ask for it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TrimmedManifests {
    folder: Option<PathBuf>,
    turns: Arc<Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>>,
}

impl TrimmedManifests {
    /// Keeps large manifests in `folder` while they are made, or in the system's temporary folder.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            turns: Arc::default(),
        }
    }

    /// Makes the trimmed form of a manifest, unless it exists.
    pub(crate) async fn make(&self, bucket: &Bucket, account: AccountId, manifest: Sha256) -> Result<(), Error> {
        if is_there(bucket, account, manifest).await? {
            return Ok(());
        }
        let turn = self.turn((account, manifest)).lock_owned().await;
        if is_there(bucket, account, manifest).await? {
            return Ok(());
        }
        let (bucket, folder) = (bucket.clone(), self.folder.clone());
        // In a task of its own, because other clients may wait for the result when the first disconnects.
        let making = tokio::spawn(async move {
            let made = make(&bucket, account, manifest, folder).await;
            drop(turn);
            made
        });
        making.await.map_err(|panic| Error::unreadable(&panic))?
    }

    fn turn(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let present = turns.get(&key).and_then(Weak::upgrade);
        present.unwrap_or_else(|| {
            let turn = Arc::default();
            turns.insert(key, Arc::downgrade(&turn));
            turn
        })
    }
}

async fn is_there(bucket: &Bucket, account: AccountId, manifest: Sha256) -> Result<bool, Error> {
    match bucket.open_trimmed_compressed(account, manifest).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Trims a manifest on two threads: one decompresses, the other trims and compresses.
async fn make(bucket: &Bucket, account: AccountId, manifest: Sha256, folder: Option<PathBuf>) -> Result<(), Error> {
    let mut pieces = bucket.open_artifact(account, manifest).await?;
    let (sender, waiting) = mpsc::channel(PIECES_WAITING);
    let trimming = tokio::task::spawn_blocking(move || trim(waiting, FrameSpool::new(folder, MAX_IN_MEMORY)));
    while let Some(piece) = pieces.try_next().await? {
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    let trimmed = trimming.await.map_err(|panic| Error::unreadable(&panic))?;
    let frames = trimmed.map_err(|error| Error::unreadable(&error))?;
    Ok(bucket.put_trimmed(account, manifest, frames).await?)
}

fn trim(mut pieces: Receiver<Bytes>, spool: FrameSpool) -> io::Result<Compressed> {
    let (mut trimmer, mut kept) = (Trimmer::new(), Vec::new());
    let mut encoder = zstd::Encoder::new(spool, LEVEL)?;
    while let Some(piece) = pieces.blocking_recv() {
        trimmer.push(&piece, &mut kept);
        encoder.write_all(&kept)?;
        kept.clear();
    }
    trimmer.finish(&mut kept);
    encoder.write_all(&kept)?;
    Ok(encoder.finish()?.finish().0)
}
