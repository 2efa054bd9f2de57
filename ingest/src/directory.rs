//! The directory as ingest knows it: PostgreSQL while it answers; else the copy in memory, which the bucket can fill too.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bucket::{Bucket, Journal};
use clock::Clock;
use directory::{Access, Name, Place, Snapshot, hash_of_key, is_own_key, queries};
use edge::{Needed, Purpose, Silent, UploadError, Verifier};
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::AccountId;
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Datacoves;

/// How long PostgreSQL may take for one key. The client waits 5 s for all.
const MAX_LOOKUP_TIME: Duration = Duration::from_millis(800);

/// How long PostgreSQL, and then the bucket, may take to tell all while a client waits.
const MAX_LOAD_TIME: Duration = Duration::from_secs(2);

/// How old the copy gets while PostgreSQL answers.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// How soon the first copy is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How many events are read from the bucket at a time.
const READ_AT_ONCE: usize = 16;

/// Accounts, environments and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    pool: PgPool,
    bucket: Bucket,
    clock: Clock,
    /// Who tells whose the keys are that are none of ours.
    verifier: Option<Verifier>,
    /// Where accounts, projects and environments come from, if not from operators.
    datacoves: Option<Datacoves>,
    copy: RwLock<Option<Arc<Snapshot>>>,
    /// One load at a time.
    loading: tokio::sync::Mutex<()>,
}

/// Nobody can be told from anybody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("neither PostgreSQL nor the bucket tells who may upload where; try again later")]
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
    /// A directory that knows nothing yet. The pool is of the role `dbt_api_ingest`.
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

    /// Whether there is a copy in memory, so that uploads are accepted even when PostgreSQL goes away.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.copy().is_some()
    }

    /// Keeps the copy new until shutdown, and the directory as Datacoves has it.
    pub async fn run(&self, shutdown: CancellationToken) {
        let following = async {
            if let Some(datacoves) = &self.0.datacoves {
                datacoves.run(self, shutdown.clone()).await;
            }
        };
        tokio::join!(self.keep_new(&shutdown), following);
    }

    async fn keep_new(&self, shutdown: &CancellationToken) {
        loop {
            self.refresh().await;
            let pause = if self.loaded() { REFRESH_EVERY } else { RETRY_EVERY };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// From PostgreSQL; from the bucket only when there is no copy at all, since reading all events is dear.
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

    /// The bearer of a key. None: nobody.
    pub(crate) async fn access(&self, key: &str) -> Result<Option<Access>, Unavailable> {
        if let Some(verifier) = self.0.verifier.as_ref().filter(|_| !is_own_key(key)) {
            return Ok(verifier.access(key, Purpose::Upload).await?);
        }
        let hash = hash_of_key(key);
        match timeout(MAX_LOOKUP_TIME, queries::key_holder(&self.0.pool, hash)).await {
            Ok(Ok(holder)) => return Ok(holder.map(|holder| holder.access)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "PostgreSQL does not tell whose a key is; the copy in memory does")
            }
            Err(_) => tracing::warn!("PostgreSQL is slow to tell whose a key is; the copy in memory does"),
        }
        let now = self.0.clock.now();
        let look = |copy: &Snapshot| copy.access(&hash, now).cloned();
        let Some(access) = self.find(look, async || self.ask_bucket().await).await? else {
            return Ok(None);
        };
        // The copy may be older than the token's end; revocations are in the bucket before they are anywhere else.
        match timeout(MAX_LOAD_TIME, self.0.bucket.is_revoked(access.token_id)).await {
            Ok(Ok(revoked)) => Ok((!revoked).then_some(access)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the bucket does not tell whether a token was deleted");
                Err(Unavailable::Directory)
            }
            Err(_) => {
                tracing::warn!("the bucket is slow to tell whether a token was deleted");
                Err(Unavailable::Directory)
            }
        }
    }

    /// The environments of this name in these accounts that are in use.
    pub(crate) async fn places(&self, accounts: &[AccountId], name: &Name) -> Result<Vec<Place>, Unavailable> {
        let look = |copy: &Snapshot| {
            let places = copy.places(accounts, name);
            (!places.is_empty()).then_some(places)
        };
        let ask = async || {
            if let Some(datacoves) = &self.0.datacoves {
                datacoves.sync_at_once().await;
            }
            self.ask_both().await
        };
        Ok(self.find(look, ask).await?.unwrap_or_default())
    }

    /// In the copy; and when it is not there, in a new copy, since tokens and environments may be younger than the old one.
    async fn find<T>(
        &self,
        look: impl Fn(&Snapshot) -> Option<T>,
        ask: impl AsyncFnOnce() -> Option<Snapshot>,
    ) -> Result<Option<T>, Unavailable> {
        let old = self.copy();
        if let Some(place) = old.as_deref().and_then(&look) {
            return Ok(Some(place));
        }
        let _one = self.0.loading.lock().await;
        let present = self.copy();
        if let Some(present) = &present
            && old.is_none_or(|old| !Arc::ptr_eq(&old, present))
        {
            // Another upload brought it while this one waited.
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
            Ok(Err(error)) => tracing::warn!(%error, "the directory cannot be read from PostgreSQL"),
            Err(_) => tracing::warn!("the directory cannot be read from PostgreSQL in time"),
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
            Err(error) => tracing::warn!(%error, "the directory cannot be read from the bucket"),
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
