//! Trimmed manifests: made of artifacts, and made again when they are gone.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use schemas::{AccountId, Sha256};

use crate::{Bucket, Compressed, Error};

impl Bucket {
    /// Keeps the trimmed form of the manifest whose content has this hash.
    ///
    /// # Errors
    /// As [`Bucket::put_artifact`].
    pub async fn put_trimmed(&self, account: AccountId, manifest: Sha256, compressed: Compressed) -> Result<(), Error> {
        self.put_frames(&key(account, manifest), compressed).await
    }

    /// The trimmed form of a manifest.
    ///
    /// # Errors
    /// Not found when it was not made yet; else as [`Bucket::open_artifact`].
    pub async fn open_trimmed(
        &self,
        account: AccountId,
        manifest: Sha256,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.open_frames(key(account, manifest)).await
    }

    /// The same as zstd frames, with their size in bytes.
    ///
    /// # Errors
    /// As [`Bucket::open_trimmed`].
    pub async fn open_trimmed_compressed(
        &self,
        account: AccountId,
        manifest: Sha256,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        self.open_frames_compressed(key(account, manifest)).await
    }
}

/// The version is that of what is left out.
fn key(account: AccountId, manifest: Sha256) -> String {
    format!("derived/trimmed/v1/{account}/{manifest}.zst")
}
