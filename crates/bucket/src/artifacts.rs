//! Artifacts: bytes as uploaded, as zstd frames, named by account and by the SHA-256 of what they hold, so that the same content is
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

/// Up to this size an artifact is put in one request, and held in memory for it.
const ONE_REQUEST: u64 = 16 * 1024 * 1024;

/// The size of the parts of larger ones; S3 takes at most 10,000 parts and none under 5 MiB.
const PART: usize = 8 * 1024 * 1024;

/// How many parts of one artifact are sent at a time, which bounds the memory.
const PARTS_AT_A_TIME: usize = 2;

/// The zstd frames of an artifact, made by the caller.
#[derive(Debug)]
pub enum Compressed {
    /// In memory.
    Bytes(Bytes),
    /// The whole of a file, wherever it is positioned.
    File {
        /// The file, open for reading.
        file: std::fs::File,
        /// Its size in bytes.
        size: u64,
    },
}

impl Bucket {
    /// Stores an artifact durably, unless it is there already. `sha256` is that of the content, not of the frames. Dropping the
    /// future leaves nothing that can be read, but may leave an unfinished multipart upload: let the bucket expire those.
    ///
    /// # Errors
    /// Unavailable; or the file cannot be read, or is not of that size.
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
        // A multipart upload cannot be conditional. Two at once do no harm: both hold the same content.
        if self.exists(key).await? {
            return Ok(());
        }
        let upload = self.store.put_multipart(&Path::from(key)).await;
        let upload = upload.map_err(|e| self.write_error(key, e))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let sent = self.send_parts(key, &mut source, &mut upload).await;
        if let Err(error) = sent {
            if let Err(abort) = upload.abort().await {
                tracing::warn!(key, error = %abort, "an unfinished multipart upload is left in the bucket");
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

    /// The content of an artifact as it was uploaded, decompressed piece by piece.
    ///
    /// # Errors
    /// Not found; unavailable. The stream ends with an error when the bucket goes away, or when the frames are broken (corrupt).
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

    /// The zstd frames of an artifact as they are stored, with their size in bytes.
    ///
    /// # Errors
    /// Not found; unavailable. The stream ends with an error when the bucket goes away.
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

    /// The whole content of an artifact as it was uploaded, which is told to be of `size` bytes.
    ///
    /// # Errors
    /// Not found; unavailable; corrupt when the frames are broken or hold more.
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

/// What is left to send.
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
                    let message = format!("the file has {actual} bytes where {size} are due");
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

    /// The next bytes: `most` of them, or all that remain if those are fewer.
    async fn next(&mut self, most: usize) -> io::Result<Bytes> {
        let most = usize::try_from(self.remaining()).map_or(most, |remaining| remaining.min(most));
        match self {
            Self::Bytes(bytes) => Ok(bytes.split_to(most)),
            Self::File { file, remaining } => {
                let mut part = vec![0; most];
                file.read_exact(&mut part).await?;
                *remaining -= most as u64;
                Ok(part.into())
            }
        }
    }
}
