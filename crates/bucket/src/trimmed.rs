//! Stores trimmed manifests. They are made from artifacts, and made again if they are missing.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use schemas::{AccountId, Sha256};

use crate::{Bucket, Compressed, Error};

impl Bucket {
    /// Stores the trimmed form of the manifest whose content has this hash.
    ///
    /// # Errors
    /// Fails like [`Bucket::put_artifact`].
    pub async fn put_trimmed(&self, account: AccountId, manifest: Sha256, compressed: Compressed) -> Result<(), Error> {
        self.put_frames(&key(account, manifest), compressed).await
    }

    /// Returns the trimmed form of a manifest as a stream.
    ///
    /// # Errors
    /// Fails with [`Error::NotFound`] if it was not made yet, and otherwise like [`Bucket::open_artifact`].
    pub async fn open_trimmed(
        &self,
        account: AccountId,
        manifest: Sha256,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.open_frames(key(account, manifest)).await
    }

    /// Returns the size of a trimmed manifest's zstd frames in bytes, and the frames as a stream.
    ///
    /// # Errors
    /// Fails like [`Bucket::open_trimmed`].
    pub async fn open_trimmed_compressed(
        &self,
        account: AccountId,
        manifest: Sha256,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        self.open_frames_compressed(key(account, manifest)).await
    }
}

/// Returns the key. Its version changes with the set of fields that are trimmed.
fn key(account: AccountId, manifest: Sha256) -> String {
    format!("derived/trimmed/v1/{account}/{manifest}.zst")
}
