//! The directory as ingest sees it: PostgreSQL while it answers, otherwise a copy in memory, which can also be loaded from the bucket.

mod keys;
mod operators;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bucket::{Bucket, DeletedTokens, Journal};
use clock::Clock;
use directory::{Access, EnvironmentEntry, IdOrSlug, Snapshot, hash_of_key, is_own_key};
use edge::{Causes, Needed, Purpose, Silent, UploadError, Verifier};
use futures_util::{StreamExt, TryStreamExt, stream};
use read_model::outage::explained;
use schemas::{AccountId, Sha256, TokenId};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Datacoves;
use keys::{Away, Keys};

/// How long PostgreSQL may take to look up a key. The client waits 5 s in total.
const MAX_LOOKUP_TIME: Duration = Duration::from_millis(800);

/// How long PostgreSQL may take to load the directory while a client waits.
const MAX_LOAD_TIME: Duration = Duration::from_secs(2);

/// How often the copy is refreshed while PostgreSQL answers.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// How often loading the first copy is retried.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How long a database is not believed that has fewer events of the directory than were known. It is being recovered, which takes minutes.
const MAX_DISTRUST: Duration = Duration::from_secs(15 * 60);

/// How many events are read from the bucket concurrently.
const READ_AT_ONCE: usize = 16;

/// Looks up accounts, environments and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    pool: PgPool,
    keys: Keys,
    bucket: Bucket,
    deleted_tokens: DeletedTokens,
    clock: Clock,
    /// Verifies keys that this service did not issue.
    verifier: Option<Verifier>,
    /// The source of accounts, projects and environments, if operators do not add them.
    datacoves: Option<Datacoves>,
    copy: RwLock<Option<Loaded>>,
    /// Locked while a copy is loaded, so that only one is loaded at a time. When the first copy was last tried to be loaded.
    loading: tokio::sync::Mutex<Option<Instant>>,
    /// Since when the database has fewer events of the directory than were known.
    distrusted: Mutex<Option<Instant>>,
}

/// A copy of the directory.
struct Loaded {
    snapshot: Arc<Snapshot>,
    /// When it began to be loaded. What was recorded before is in it.
    begun: Instant,
}

/// Tokens or environments cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Neither PostgreSQL nor the bucket can be asked for them, for these reasons.
    #[error("neither PostgreSQL nor the bucket can be asked for tokens and environments: {0}")]
    Directory(String),
    /// Datacoves does not verify its keys.
    #[error(transparent)]
    Verifier(#[from] Silent),
}

impl From<Unavailable> for UploadError {
    fn from(error: Unavailable) -> Self {
        let needed = match error {
            Unavailable::Directory(_) => Needed::Directory,
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
        deleted_tokens: DeletedTokens,
        clock: Clock,
        verifier: Option<Verifier>,
        datacoves: Option<Datacoves>,
    ) -> Self {
        Self(Arc::new(Inner {
            keys: Keys::new(pool.clone(), deleted_tokens.clone()),
            pool,
            bucket,
            deleted_tokens,
            clock,
            verifier,
            datacoves,
            copy: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            distrusted: Mutex::default(),
        }))
    }

    /// Whether there is a copy in memory, so that uploads are accepted even while PostgreSQL is down.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.copy().is_some()
    }

    /// Refreshes the copy, looks for PostgreSQL while it does not answer, and syncs with Datacoves until shutdown.
    pub async fn run(&self, shutdown: CancellationToken) {
        let syncing = async {
            if let Some(datacoves) = &self.0.datacoves {
                datacoves.run(self, shutdown.clone()).await;
            }
        };
        let watching = shutdown.run_until_cancelled(self.0.keys.watch());
        tokio::join!(self.keep_fresh(&shutdown), watching, syncing);
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
        self.load().await;
    }

    /// Waits for the first copy. Without one it is not known whether PostgreSQL has all tokens. Those that wait together share one attempt.
    async fn wait_for_copy(&self) -> Result<(), Unavailable> {
        if self.loaded() {
            return Ok(());
        }
        let asked = Instant::now();
        let mut tried = self.0.loading.lock().await;
        if !self.loaded() && tried.is_none_or(|tried| tried < asked) {
            *tried = Some(Instant::now());
            self.load().await;
        }
        let missing = || Unavailable::Directory("the directory cannot be loaded, and the log says why".to_owned());
        self.loaded().then_some(()).ok_or_else(missing)
    }

    async fn load(&self) {
        let begun = Instant::now();
        if let Ok(snapshot) = self.ask_postgres().await {
            self.keep(snapshot, begun);
        } else if !self.loaded()
            && let Ok(snapshot) = self.ask_bucket().await
        {
            self.keep(snapshot, begun);
        }
    }

    /// Returns what a key gives access to, or `None` if the key is not valid.
    pub(crate) async fn access(&self, key: &str) -> Result<Option<Access>, Unavailable> {
        if let Some(verifier) = self.0.verifier.as_ref().filter(|_| !is_own_key(key)) {
            return Ok(verifier.access(key, Purpose::Upload).await?);
        }
        let hash = hash_of_key(key);
        let found = self.0.keys.look_up(hash).await;
        if matches!(found, Ok(None)) {
            self.wait_for_copy().await?;
        }
        match found {
            Ok(Some(access)) => return self.unless_deleted(access).await,
            Ok(None) if !self.is_known(&hash) || self.postgres_is_complete().await => {
                let operator = self.operator(key).await?;
                return Ok(operator.map(|token| Access::none(token.id)));
            }
            Ok(None) => tracing::warn!("the tokens in PostgreSQL are not restored yet; using the copy in memory"),
            Err(Away) => {}
        }
        let now = self.0.clock.now();
        let look = |copy: &Snapshot| copy.access(&hash, now).cloned();
        let Some(access) = self.find(look, async || self.ask_bucket().await).await? else {
            return Ok(None);
        };
        // The token may have been deleted after the copy was made.
        self.0.deleted_tokens.postgres_is_down();
        self.unless_deleted(access).await
    }

    /// Returns nothing if the token was deleted.
    async fn unless_deleted(&self, access: Access) -> Result<Option<Access>, Unavailable> {
        Ok((!self.is_deleted(access.token_id).await?).then_some(access))
    }

    /// Whether a token was deleted, which the bucket knows first.
    async fn is_deleted(&self, token: TokenId) -> Result<bool, Unavailable> {
        match self.0.deleted_tokens.contain(token).await {
            Ok(is_deleted) => Ok(is_deleted),
            Err(error) => {
                tracing::warn!(%error, "cannot check in the bucket whether a token was deleted");
                Err(Unavailable::Directory(Causes(&error).to_string()))
            }
        }
    }

    /// Whether the copy in memory admits a key.
    fn is_known(&self, hash: &Sha256) -> bool {
        let now = self.0.clock.now();
        self.copy().is_some_and(|copy| copy.access(hash, now).is_some())
    }

    /// Whether PostgreSQL has all of the directory, as far as is known.
    async fn postgres_is_complete(&self) -> bool {
        match timeout(MAX_LOOKUP_TIME, directory::applied_events(&self.0.pool)).await {
            Ok(Ok(events)) => self.is_complete(events),
            _ => false,
        }
    }

    /// Whether a directory of this many events is complete. There is an end to distrust, because events may be lost.
    fn is_complete(&self, events: i64) -> bool {
        let known = self.copy().map_or(0, |copy| copy.events());
        let mut distrusted = self.0.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if events >= known {
            *distrusted = None;
            return true;
        }
        distrusted.get_or_insert_with(Instant::now).elapsed() > MAX_DISTRUST
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

    /// Returns the only active environment with this name in these accounts, if the copy in memory has it.
    pub(crate) fn only_environment(&self, accounts: &[AccountId], name: &IdOrSlug) -> Option<EnvironmentEntry> {
        let mut entries = self.copy()?.environments(accounts, name);
        entries.pop().filter(|_| entries.is_empty())
    }

    /// Searches the copy, and if that fails a new copy: tokens and environments may be newer than the old one.
    async fn find<T>(
        &self,
        look: impl Fn(&Snapshot) -> Option<T>,
        ask: impl AsyncFnOnce() -> Result<Snapshot, String>,
    ) -> Result<Option<T>, Unavailable> {
        if let Some(entry) = self.copy().as_deref().and_then(&look) {
            return Ok(Some(entry));
        }
        let asked = Instant::now();
        let _one = self.0.loading.lock().await;
        if let Some(present) = self.copy_begun_after(asked) {
            // Another upload loaded it while this one waited. A copy that was begun before may lack what this one names.
            return Ok(look(&present));
        }
        let begun = Instant::now();
        let new = ask().await.map_err(Unavailable::Directory)?;
        Ok(look(&self.keep(new, begun)))
    }

    /// Returns a new copy, or why there is none.
    async fn ask_both(&self) -> Result<Snapshot, String> {
        let of_postgres = if self.0.keys.are_down() {
            Err("PostgreSQL does not answer".to_owned())
        } else {
            self.ask_postgres().await
        };
        match of_postgres {
            Ok(snapshot) => Ok(snapshot),
            Err(of_postgres) => {
                let asked = self.ask_bucket().await;
                asked.map_err(|of_bucket| format!("{of_postgres}; {of_bucket}"))
            }
        }
    }

    async fn ask_postgres(&self) -> Result<Snapshot, String> {
        let load = async {
            let mut connection = self.0.pool.acquire().await?;
            Snapshot::load(&mut connection).await
        };
        let error = match timeout(MAX_LOAD_TIME, load).await {
            Ok(Ok(snapshot)) if snapshot.events() > 0 && self.is_complete(snapshot.events()) => return Ok(snapshot),
            // Nothing is believed of a new database, whose accounts and tokens are in the bucket.
            Ok(Ok(_)) => return Err("PostgreSQL does not have all accounts and tokens".to_owned()),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        let error = explained(&self.0.pool, error).await;
        tracing::warn!(%error, "cannot read the directory from PostgreSQL");
        Err(format!("PostgreSQL: {error}"))
    }

    async fn ask_bucket(&self) -> Result<Snapshot, String> {
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
        load.await.map_err(|error| {
            let error = Causes(&error).to_string();
            tracing::warn!(error, "cannot read the directory from the bucket");
            error
        })
    }

    fn copy(&self) -> Option<Arc<Snapshot>> {
        let copy = self.0.copy.read().unwrap_or_else(PoisonError::into_inner);
        copy.as_ref().map(|copy| Arc::clone(&copy.snapshot))
    }

    fn copy_begun_after(&self, moment: Instant) -> Option<Arc<Snapshot>> {
        let copy = self.0.copy.read().unwrap_or_else(PoisonError::into_inner);
        let copy = copy.as_ref().filter(|copy| copy.begun >= moment)?;
        Some(Arc::clone(&copy.snapshot))
    }

    fn keep(&self, snapshot: Snapshot, begun: Instant) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        *self.0.copy.write().unwrap_or_else(PoisonError::into_inner) = Some(Loaded {
            snapshot: Arc::clone(&snapshot),
            begun,
        });
        snapshot
    }
}
