//! Stores artifacts as zstd frames. The keys consist of the account and the SHA-256 of the uncompressed content, so that the same content is
//! stored once per account.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use schemas::{AccountId, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::decompress::{self, Whole};
use crate::{Bucket, Error};

/// The largest artifact that is sent in a single request, in bytes. It is held in memory meanwhile.
const ONE_REQUEST: u64 = 16 * 1024 * 1024;

/// The part size for larger artifacts. S3 accepts at most 10,000 parts, each of at least 5 MiB.
const PART: usize = 8 * 1024 * 1024;

/// How many parts of an artifact are sent concurrently, which limits the memory.
const PARTS_AT_A_TIME: usize = 2;

/// The zstd frames of an artifact, made by the caller.
#[derive(Debug)]
pub enum Compressed {
    /// Frames in memory.
    Bytes(Bytes),
    /// A file, which is read from its beginning whatever its current position is.
    File {
        /// The file, open for reading.
        file: std::fs::File,
        /// Its size in bytes.
        size: u64,
    },
}

impl Bucket {
    /// Stores an artifact durably, unless it is already stored. `sha256` is the hash of the content, not of the frames. If the future is
    /// dropped, no artifact is visible, but an unfinished multipart upload may be left over: configure the bucket to expire those.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, the file cannot be read, or it does not have the given size.
    pub async fn put_artifact(&self, account: AccountId, sha256: Sha256, compressed: Compressed) -> Result<(), Error> {
        self.put_frames(&key(account, sha256), compressed).await
    }

    pub(crate) async fn put_frames(&self, key: &str, compressed: Compressed) -> Result<(), Error> {
        let unreadable = |source| Error::Input {
            key: key.to_owned(),
            source,
        };
        let mut source = Source::open(compressed).await.map_err(unreadable)?;
        if source.remaining() <= ONE_REQUEST {
            let bytes = source.next(usize::MAX).await.map_err(unreadable)?;
            return self.create(key, bytes).await.map(drop);
        }
        // A multipart upload cannot be conditional. Two at once do no harm, because both have the same content.
        if self.exists(key).await? {
            return Ok(());
        }
        let upload = self.store.put_multipart(&Path::from(key)).await;
        let upload = upload.map_err(|e| self.write_error(key, e))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let sent = self.send_parts(key, &mut source, &mut upload).await;
        if let Err(error) = sent {
            if let Err(abort) = upload.abort().await {
                tracing::warn!(key, error = %abort, "cannot abort a multipart upload; it is left unfinished in the bucket");
            }
            return Err(error);
        }
        upload.finish().await.map(drop).map_err(|e| self.write_error(key, e))
    }

    async fn send_parts(&self, key: &str, source: &mut Source, upload: &mut WriteMultipart) -> Result<(), Error> {
        while source.remaining() > 0 {
            let capacity = upload.wait_for_capacity(PARTS_AT_A_TIME).await;
            capacity.map_err(|e| self.write_error(key, e))?;
            let part = source.next(PART).await.map_err(|source| Error::Input {
                key: key.to_owned(),
                source,
            })?;
            upload.put(part);
        }
        Ok(())
    }

    /// Returns the content of an artifact as a stream of decompressed pieces.
    ///
    /// # Errors
    /// Fails if the artifact is not found or the bucket is unavailable. The stream ends with an error if the bucket becomes unavailable, or if
    /// the frames are corrupt.
    pub async fn open_artifact(
        &self,
        account: AccountId,
        sha256: Sha256,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.open_frames(key(account, sha256)).await
    }

    pub(crate) async fn open_frames(&self, key: String) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let compressed = Self::pieces(self.get(&key).await?);
        Ok(decompress::stream(self.clone(), key, compressed))
    }

    /// Returns the size of an artifact's zstd frames in bytes, and the frames as a stream.
    ///
    /// # Errors
    /// Fails if the artifact is not found or the bucket is unavailable. The stream ends with an error if the bucket becomes unavailable.
    pub async fn open_compressed(
        &self,
        account: AccountId,
        sha256: Sha256,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        self.open_frames_compressed(key(account, sha256)).await
    }

    pub(crate) async fn open_frames_compressed(
        &self,
        key: String,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        let object = self.get(&key).await?;
        let size = object.meta.size;
        let bucket = self.clone();
        let stream = Self::pieces(object).map_err(move |error| bucket.error(&key, error));
        Ok((size, stream.boxed()))
    }

    /// Reads the whole content of an artifact, which should have `size` bytes.
    ///
    /// # Errors
    /// Fails if the artifact is not found, the bucket is unavailable, or the frames are corrupt or contain more bytes.
    pub async fn read_artifact(&self, account: AccountId, sha256: Sha256, size: u64) -> Result<Vec<u8>, Error> {
        let key = key(account, sha256);
        let corrupt = |reason| Error::Corrupt {
            key: key.clone(),
            reason,
        };
        let mut compressed = Self::pieces(self.get(&key).await?);
        let mut whole = Whole::new(size).map_err(corrupt)?;
        while let Some(piece) = compressed.try_next().await.map_err(|e| self.error(&key, e))? {
            whole.push(&piece).map_err(corrupt)?;
        }
        whole.finish().map_err(corrupt)
    }
}

fn key(account: AccountId, sha256: Sha256) -> String {
    let sha256 = sha256.to_string();
    format!("artifacts/{account}/sha256/{}/{sha256}.zst", &sha256[..2])
}

/// The frames that are left to send.
enum Source {
    Bytes(Bytes),
    File { file: tokio::fs::File, remaining: u64 },
}

impl Source {
    async fn open(compressed: Compressed) -> io::Result<Self> {
        match compressed {
            Compressed::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            Compressed::File { file, size } => {
                let mut file = tokio::fs::File::from_std(file);
                let actual = file.metadata().await?.len();
                if actual != size {
                    let message = format!("invalid file: expected {size} bytes, got {actual}");
                    return Err(io::Error::new(ErrorKind::InvalidInput, message));
                }
                file.rewind().await?;
                Ok(Self::File { file, remaining: size })
            }
        }
    }

    fn remaining(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { remaining, .. } => *remaining,
        }
    }

    /// Returns the next bytes: `max` of them, or all that remain if there are fewer.
    async fn next(&mut self, max: usize) -> io::Result<Bytes> {
        let size = usize::try_from(self.remaining()).map_or(max, |remaining| remaining.min(max));
        match self {
            Self::Bytes(bytes) => Ok(bytes.split_to(size)),
            Self::File { file, remaining } => {
                let mut part = vec![0; size];
                file.read_exact(&mut part).await?;
                *remaining -= size as u64;
                Ok(part.into())
            }
        }
    }
}
