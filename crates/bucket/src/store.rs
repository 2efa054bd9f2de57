//! Opens the bucket, and provides the basic operations on objects that everything else uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio_util::io::ReaderStream;

use crate::error::{Error, Problem};
use crate::open::open;
use crate::segments::Cache;
use crate::settings::Settings;

/// [`Bucket::check`] writes this object once. Later checks try to create it again, which must fail.
const CHECK_KEY: &str = "check";

/// The size of the pieces in which local files are read, in bytes.
const PIECE: usize = 256 * 1024;

/// How often creating an object is attempted while it neither succeeds nor the object exists.
const CREATE_ATTEMPTS: usize = 3;

/// A bucket in S3, MinIO, Azure Blob Storage or Google Cloud Storage, or a local folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The bucket's description for messages.
    pub(crate) location: Arc<str>,
    /// The segments of the journal that were used last.
    pub(crate) segments: Arc<Cache>,
    /// The folder, if it is a local one.
    pub(crate) folder: Option<Arc<std::path::Path>>,
    /// Whether the store has shown that it supports create-if-absent.
    is_conditional: Arc<AtomicBool>,
}

/// Whether an object was created now or existed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    Now,
    Before,
}

impl Bucket {
    /// Opens the bucket. A local folder is created if it is missing. A remote bucket is not contacted before it is used.
    ///
    /// # Errors
    /// Fails if a local folder cannot be created, or the settings do not make a valid HTTP client.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let location = settings.location();
        let store = open(settings, &location)?;
        let folder = match settings {
            Settings::Local { path } => Some(path.as_path().into()),
            _ => None,
        };
        Ok(Self {
            store,
            location: location.into(),
            folder,
            segments: Arc::default(),
            is_conditional: Arc::default(),
        })
    }

    /// Checks that the bucket can be reached and written to with these credentials, and supports create-if-absent. After the first time, this
    /// takes a single small request that changes nothing.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable. The message says whether it does not answer, refuses access, or does not exist.
    pub async fn check(&self) -> Result<(), Error> {
        if self.create_once(CHECK_KEY, Bytes::new()).await? == Created::Before {
            return Ok(());
        }
        match self.create_once(CHECK_KEY, Bytes::new()).await? {
            Created::Before => Ok(()),
            Created::Now => Err(Error::unavailable(
                &self.location,
                Problem::Unconditional,
                "creating the same object twice succeeded",
            )),
        }
    }

    /// Before the first write, checks that the store never overwrites, on which everything that is created depends. Nothing is written to
    /// another one: half of what an operator does would remain.
    async fn ensure_conditional(&self) -> Result<(), Error> {
        // Side by side: while the bucket is down, uploads must not wait for each other's checks.
        if !self.is_conditional.load(Ordering::Relaxed) {
            self.check().await?;
            self.is_conditional.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Creates an object unless it exists. On success, the object exists.
    pub(crate) async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        self.ensure_conditional().await?;
        for _ in 0..CREATE_ATTEMPTS {
            if self.create_once(key, bytes.clone()).await? == Created::Now {
                return Ok(Created::Now);
            }
            // S3 may refuse both of two concurrent creations, so check whether the object exists.
            if self.exists(key).await? {
                return Ok(Created::Before);
            }
        }
        let reason = format!("`{key}` was neither created nor found");
        Err(Error::unavailable(&self.location, Problem::Failed, reason))
    }

    async fn create_once(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&Path::from(key), bytes.into(), options).await {
            Ok(_) => Ok(Created::Now),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Before),
            Err(error) => Err(self.write_error(key, error)),
        }
    }

    pub(crate) async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.ensure_conditional().await?;
        let result = self.store.put(&Path::from(key), bytes.into()).await;
        result.map(drop).map_err(|e| self.write_error(key, e))
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, Error> {
        match self.store.head(&Path::from(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(key, error)),
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<GetResult, Error> {
        let result = self.store.get(&Path::from(key)).await;
        result.map_err(|e| self.error(key, e))
    }

    /// Returns the pieces of an object. A local file is read in larger pieces than the store's own, each of which needs another thread.
    pub(crate) fn pieces(object: GetResult) -> BoxStream<'static, object_store::Result<Bytes>> {
        match object.payload {
            GetResultPayload::File(file, path) => {
                let failed = move |source: std::io::Error| object_store::Error::Generic {
                    store: "LocalFileSystem",
                    source: format!("{}: {source}", path.display()).into(),
                };
                ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE)
                    .map_err(failed)
                    .boxed()
            }
            GetResultPayload::Stream(pieces) => pieces,
        }
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Bytes, Error> {
        let result = self.get(key).await?.bytes().await;
        result.map_err(|e| self.error(key, e))
    }

    /// Lists the last parts of all keys under a prefix, unordered.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.names(prefix).try_collect().await
    }

    /// Lists the last parts of all keys under a prefix, unordered, page by page.
    pub(crate) fn names(&self, prefix: &str) -> BoxStream<'_, Result<String, Error>> {
        let listing = self.store.list(Some(&Path::from(prefix)));
        let names = listing.map_ok(|object| object.location.filename().unwrap_or_default().to_owned());
        let prefix = prefix.to_owned();
        names.map_err(move |e| self.error(&prefix, e)).boxed()
    }

    /// Lists the keys and sizes of all objects under a prefix, unordered.
    pub(crate) async fn list_objects(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let listing = self.store.list(Some(&Path::from(prefix)));
        let objects = listing.map_ok(|object| (object.location.as_ref().to_owned(), object.size));
        objects.try_collect().await.map_err(|e| self.error(prefix, e))
    }

    /// Deletes objects. Those that are missing count as deleted.
    pub(crate) async fn delete(&self, keys: Vec<String>) -> Result<(), Error> {
        let first = keys.first().cloned().unwrap_or_default();
        let paths = keys.into_iter().map(|key| Ok(Path::from(key)));
        let mut deleted = self.store.delete_stream(stream::iter(paths).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.error(&first, error)),
            }
        }
        Ok(())
    }

    /// Lists the names of the folders directly under a prefix.
    pub(crate) async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let listing = self.store.list_with_delimiter(Some(&Path::from(prefix))).await;
        let folders = listing.map_err(|e| self.error(prefix, e))?.common_prefixes;
        let names = folders.iter().filter_map(|folder| folder.filename());
        Ok(names.map(str::to_owned).collect())
    }

    pub(crate) fn error(&self, key: &str, error: object_store::Error) -> Error {
        Error::from_store(&self.location, key, error)
    }

    /// Converts an error of a write. A write does not need an existing object, so a 404 means that the bucket is missing.
    pub(crate) fn write_error(&self, key: &str, error: object_store::Error) -> Error {
        match error {
            object_store::Error::NotFound { .. } => Error::unavailable(&self.location, Problem::Missing, error),
            error => self.error(key, error),
        }
    }
}
