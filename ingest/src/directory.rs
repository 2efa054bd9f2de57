//! The directory as ingest sees it: PostgreSQL while it answers, otherwise a copy in memory, which can also be loaded from the bucket.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bucket::{Bucket, Journal};
use clock::Clock;
use directory::{Access, EnvironmentEntry, IdOrSlug, Snapshot, hash_of_key, is_own_key, queries};
use edge::{Needed, Purpose, Silent, UploadError, Verifier};
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::AccountId;
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Datacoves;

/// How long PostgreSQL may take to look up a key. The client waits 5 s in total.
const MAX_LOOKUP_TIME: Duration = Duration::from_millis(800);

/// How long PostgreSQL may take to load the directory, and the bucket to check a revocation, while a client waits.
const MAX_LOAD_TIME: Duration = Duration::from_secs(2);

/// How often the copy is refreshed while PostgreSQL answers.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// How often loading the first copy is retried.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How many events are read from the bucket concurrently.
const READ_AT_ONCE: usize = 16;

/// Looks up accounts, environments and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    pool: PgPool,
    bucket: Bucket,
    clock: Clock,
    /// Verifies keys that this service did not issue.
    verifier: Option<Verifier>,
    /// The source of accounts, projects and environments, if operators do not add them.
    datacoves: Option<Datacoves>,
    copy: RwLock<Option<Arc<Snapshot>>>,
    /// Locked while a copy is loaded, so that only one is loaded at a time.
    loading: tokio::sync::Mutex<()>,
}

/// Tokens or environments cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("neither PostgreSQL nor the bucket can be asked for tokens and environments; try again later")]
    Directory,
    #[error(transparent)]
    Verifier(#[from] Silent),
}

impl From<Unavailable> for UploadError {
    fn from(error: Unavailable) -> Self {
        let needed = match error {
            Unavailable::Directory => Needed::Directory,
            Unavailable::Verifier(_) => Needed::Verifier,
        };
        Self::unavailable(needed, &error)
    }
}

impl Directory {
    /// Creates a directory without a copy. The pool must connect with the role `dbt_api_ingest`.
    #[must_use]
    pub fn new(
        pool: PgPool,
        bucket: Bucket,
        clock: Clock,
        verifier: Option<Verifier>,
        datacoves: Option<Datacoves>,
    ) -> Self {
        Self(Arc::new(Inner {
            pool,
            bucket,
            clock,
            verifier,
            datacoves,
            copy: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
        }))
    }

    /// Whether there is a copy in memory, so that uploads are accepted even while PostgreSQL is down.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.copy().is_some()
    }

    /// Refreshes the copy and syncs with Datacoves until shutdown.
    pub async fn run(&self, shutdown: CancellationToken) {
        let syncing = async {
            if let Some(datacoves) = &self.0.datacoves {
                datacoves.run(self, shutdown.clone()).await;
            }
        };
        tokio::join!(self.keep_fresh(&shutdown), syncing);
    }

    async fn keep_fresh(&self, shutdown: &CancellationToken) {
        loop {
            self.refresh().await;
            let pause = if self.loaded() { REFRESH_EVERY } else { RETRY_EVERY };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Loads a new copy from PostgreSQL. Falls back to the bucket only if there is no copy yet, because reading all events is expensive.
    pub(crate) async fn refresh(&self) {
        let _one = self.0.loading.lock().await;
        if let Some(snapshot) = self.ask_postgres().await {
            self.keep(snapshot);
        } else if !self.loaded()
            && let Some(snapshot) = self.ask_bucket().await
        {
            self.keep(snapshot);
        }
    }

    /// Returns what a key gives access to, or `None` if the key is not valid.
    pub(crate) async fn access(&self, key: &str) -> Result<Option<Access>, Unavailable> {
        if let Some(verifier) = self.0.verifier.as_ref().filter(|_| !is_own_key(key)) {
            return Ok(verifier.access(key, Purpose::Upload).await?);
        }
        let hash = hash_of_key(key);
        match timeout(MAX_LOOKUP_TIME, queries::key_holder(&self.0.pool, hash)).await {
            Ok(Ok(holder)) => return Ok(holder.map(|holder| holder.access)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot look up a key in PostgreSQL; using the copy in memory")
            }
            Err(_) => tracing::warn!("PostgreSQL is too slow to look up a key; using the copy in memory"),
        }
        let now = self.0.clock.now();
        let look = |copy: &Snapshot| copy.access(&hash, now).cloned();
        let Some(access) = self.find(look, async || self.ask_bucket().await).await? else {
            return Ok(None);
        };
        // The token may have been deleted after the copy was made. Revocations are written to the bucket first.
        match timeout(MAX_LOAD_TIME, self.0.bucket.is_revoked(access.token_id)).await {
            Ok(Ok(revoked)) => Ok((!revoked).then_some(access)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot check in the bucket whether a token was deleted");
                Err(Unavailable::Directory)
            }
            Err(_) => {
                tracing::warn!("the bucket is too slow to check whether a token was deleted");
                Err(Unavailable::Directory)
            }
        }
    }

    /// Returns the active environments with this name in these accounts.
    pub(crate) async fn environments(
        &self,
        accounts: &[AccountId],
        name: &IdOrSlug,
    ) -> Result<Vec<EnvironmentEntry>, Unavailable> {
        let look = |copy: &Snapshot| {
            let entries = copy.environments(accounts, name);
            (!entries.is_empty()).then_some(entries)
        };
        let ask = async || {
            if let Some(datacoves) = &self.0.datacoves {
                datacoves.sync_at_once().await;
            }
            self.ask_both().await
        };
        Ok(self.find(look, ask).await?.unwrap_or_default())
    }

    /// Searches the copy, and if that fails a new copy: tokens and environments may be newer than the old one.
    async fn find<T>(
        &self,
        look: impl Fn(&Snapshot) -> Option<T>,
        ask: impl AsyncFnOnce() -> Option<Snapshot>,
    ) -> Result<Option<T>, Unavailable> {
        let old = self.copy();
        if let Some(entry) = old.as_deref().and_then(&look) {
            return Ok(Some(entry));
        }
        let _one = self.0.loading.lock().await;
        let present = self.copy();
        if let Some(present) = &present
            && old.is_none_or(|old| !Arc::ptr_eq(&old, present))
        {
            // Another upload loaded it while this one waited.
            return Ok(look(present));
        }
        let new = ask().await.ok_or(Unavailable::Directory)?;
        Ok(look(&self.keep(new)))
    }

    async fn ask_both(&self) -> Option<Snapshot> {
        match self.ask_postgres().await {
            Some(snapshot) => Some(snapshot),
            None => self.ask_bucket().await,
        }
    }

    async fn ask_postgres(&self) -> Option<Snapshot> {
        let load = async {
            let mut connection = self.0.pool.acquire().await?;
            Snapshot::load(&mut connection).await
        };
        match timeout(MAX_LOAD_TIME, load).await {
            Ok(Ok(snapshot)) => return Some(snapshot),
            Ok(Err(error)) => tracing::warn!(%error, "cannot read the directory from PostgreSQL"),
            Err(_) => tracing::warn!("PostgreSQL is too slow to read the directory"),
        }
        None
    }

    async fn ask_bucket(&self) -> Option<Snapshot> {
        let bucket = &self.0.bucket;
        let load = async {
            let ids = bucket.list_directory_events().await?;
            let events: Vec<_> = stream::iter(ids)
                .map(|id| bucket.get_event(Journal::Directory, id))
                .buffer_unordered(READ_AT_ONCE)
                .try_collect()
                .await?;
            Ok::<_, bucket::Error>(Snapshot::from_events(&events))
        };
        match load.await {
            Ok(snapshot) => return Some(snapshot),
            Err(error) => tracing::warn!(%error, "cannot read the directory from the bucket"),
        }
        None
    }

    fn copy(&self) -> Option<Arc<Snapshot>> {
        self.0.copy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        *self.0.copy.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&snapshot));
        snapshot
    }
}
