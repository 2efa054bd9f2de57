//! Connections for reads, which are opened and prepared beside the requests.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::session::Session;

/// How long a read waits until its transaction has begun. Clients give up soon after that.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long opening and preparing a connection may take before it is tried again.
const MAX_OPEN: Duration = Duration::from_secs(30);

/// How long a connection may take to end what a client left behind, beyond the time limit of statements.
const MAX_END: Duration = Duration::from_secs(5);

/// How long the end of a transaction usually takes at most. If it takes longer, its client left during a statement, which is then cancelled.
const USUAL_END: Duration = Duration::from_millis(100);

/// The first and the longest wait before the next attempt to open a connection.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A connection that was not used for this long is tested, so that it does not turn out to be dead at the next request.
const REST: Duration = Duration::from_secs(30);

/// The age at which a connection is replaced, because PostgreSQL's process grows with what it has seen.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Prepares a new connection.
pub type WarmUp = for<'c> fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<()>>;

/// A fixed number of connections for read-only transactions. Cheap to clone.
///
/// sqlx's own pool opens a connection while the request that found none waits, and loses one when a request that is about to get it is
/// cancelled. Here a task of its own opens all connections, from the start on. A request waits for one that is ready, and only lends it.
#[derive(Clone)]
pub struct ReadPool(Arc<Shared>);

struct Shared {
    size: usize,
    options: PgConnectOptions,
    session: Session,
    /// Lets one connection at a time cancel statements.
    cancelling: tokio::sync::Mutex<()>,
    /// How long a connection may be busy after it was given back.
    max_end: Duration,
    /// The connections that are ready; the one that was used last is the last.
    ready: Mutex<Vec<Kept>>,
    /// As many permits as there are ready connections.
    available: Semaphore,
    /// Receives a message for each connection that must be opened.
    missing: UnboundedSender<()>,
}

struct Kept {
    connection: PgConnection,
    /// The id of PostgreSQL's process.
    backend: i32,
    opened: Instant,
    used: Instant,
}

/// A connection that is lent. When it is dropped, its transaction is rolled back, and it goes back to the pool.
pub struct Lent {
    kept: Option<Kept>,
    pool: Arc<Shared>,
}

impl ReadPool {
    /// Begins to open this many connections in the background, and keeps as many, each with the role and the search path of `session`.
    /// Statements on them end after `statement_timeout`. A connection is ready once `warm_up` has prepared it.
    ///
    /// # Panics
    /// Panics outside of a Tokio runtime.
    #[must_use]
    pub fn open(
        options: PgConnectOptions,
        session: Session,
        size: usize,
        statement_timeout: Duration,
        warm_up: WarmUp,
    ) -> Self {
        let (missing, to_open) = unbounded_channel();
        // The pool also rolls back where there is no transaction, of which PostgreSQL would warn.
        let options = session.ask(options).options([("client_min_messages", "error")]);
        let shared = Arc::new(Shared {
            size,
            options,
            session,
            cancelling: tokio::sync::Mutex::default(),
            max_end: statement_timeout + MAX_END,
            ready: Mutex::default(),
            available: Semaphore::new(0),
            missing,
        });
        for _ in 0..size {
            shared.replace();
        }
        tokio::spawn(keep(Arc::downgrade(&shared), warm_up, to_open));
        Self(shared)
    }

    /// The number of connections.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Lends a connection on which these statements succeeded, and returns their rows. They are one simple query, so they take one round
    /// trip. If the connection turns out to be broken, they are sent again on another.
    ///
    /// # Errors
    /// Returns the error of a statement, or [`sqlx::Error::PoolTimedOut`] if they have not succeeded after 5 s.
    pub async fn begin(&self, statements: String) -> sqlx::Result<(Lent, Vec<PgRow>)> {
        let beginning = async {
            loop {
                let mut lent = Shared::lend(&self.0).await?;
                let begun = sqlx::raw_sql(AssertSqlSafe(statements.as_str()))
                    .fetch_all(&mut *lent)
                    .await;
                match begun {
                    Ok(rows) => return Ok((lent, rows)),
                    Err(error) if is_broken(&error) => lent.discard(),
                    Err(error) => return Err(error),
                }
            }
        };
        timeout(MAX_WAIT, beginning)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl std::fmt::Debug for ReadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadPool")
            .field("size", &self.0.size)
            .finish_non_exhaustive()
    }
}

/// Whether the connection cannot be used again, such as after a restart of PostgreSQL.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // PostgreSQL ends the session: it stops or crashed, or an administrator ended this connection or dropped its database.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["57P01", "57P02", "57P03", "57P04", "57P05"].contains(&code.as_ref())),
        _ => false,
    }
}

impl Shared {
    fn ready(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a connection. Nothing is lost if the request is cancelled meanwhile: after the permit, nothing is waited for.
    async fn lend(self: &Arc<Self>) -> sqlx::Result<Lent> {
        let permit = self.available.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        permit.forget();
        let kept = self.ready().pop();
        Ok(Lent {
            kept,
            pool: Arc::clone(self),
        })
    }

    fn give(&self, kept: Kept) {
        self.ready().push(kept);
        self.available.add_permits(1);
    }

    /// Has another connection opened.
    fn replace(&self) {
        // The receiver is dropped only when the runtime ends.
        let _ = self.missing.send(());
    }

    /// Ends what was begun on a connection, and makes it ready again.
    async fn take_back(self: Arc<Self>, mut kept: Kept) {
        let ended = timeout(self.max_end, self.end(&mut kept)).await;
        match ended {
            Ok(Ok(())) => {
                kept.used = Instant::now();
                self.give(kept);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a connection for reads is lost");
                self.replace();
            }
            Err(_) => {
                tracing::warn!("a connection for reads does not answer");
                self.replace();
            }
        }
    }

    /// Rolls the transaction back. A statement that a client left behind is cancelled.
    async fn end(&self, kept: &mut Kept) -> sqlx::Result<()> {
        let mut ending = pin!(end(&mut kept.connection));
        if let Ok(ended) = timeout(USUAL_END, &mut ending).await {
            return ended;
        }
        // Waited for in any case: a cancellation that comes late would end a statement of the next client.
        if let Err(error) = self.cancel(kept.backend).await {
            tracing::warn!(%error, "cannot cancel a statement whose client left");
        }
        ending.await
    }

    async fn cancel(&self, backend: i32) -> sqlx::Result<()> {
        let _turn = self.cancelling.lock().await;
        let mut connection = PgConnection::connect_with(&self.options).await?;
        // The role of reads may not cancel what the user itself began.
        let cancel = format!("SET ROLE NONE; SELECT pg_cancel_backend({backend})");
        sqlx::raw_sql(AssertSqlSafe(cancel)).execute(&mut connection).await?;
        connection.close().await
    }

    /// Takes the connection that was used longest ago of those that are ready and of which this is true.
    fn take(&self, which: impl Fn(&Kept) -> bool) -> Option<Kept> {
        let permit = self.available.try_acquire().ok()?;
        let mut ready = self.ready();
        let index = ready.iter().position(which)?;
        permit.forget();
        Some(ready.remove(index))
    }

    /// Tests the connections that were not used for long, and replaces one that is old.
    async fn maintain(self: &Arc<Self>) {
        while let Some(kept) = self.take(|kept| kept.used.elapsed() > REST) {
            tokio::spawn(Arc::clone(self).take_back(kept));
        }
        // One at a time, because most of them were opened at the same time.
        if let Some(kept) = self.take(|kept| kept.opened.elapsed() > MAX_AGE) {
            self.replace();
            let _ = timeout(MAX_END, kept.connection.close()).await;
        }
    }
}

/// Waits until the connection's statement has ended, if its client left, and rolls the transaction back.
async fn end(connection: &mut PgConnection) -> sqlx::Result<()> {
    match roll_back(connection).await {
        // The statement that was left has failed.
        Err(error @ sqlx::Error::Database(_)) if !is_broken(&error) => roll_back(connection).await,
        ended => ended,
    }
}

async fn roll_back(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("ROLLBACK").execute(connection).await?;
    Ok(())
}

/// Opens the connections that are missing, one after the other, until the pool is dropped.
async fn keep(pool: Weak<Shared>, warm_up: WarmUp, mut missing: UnboundedReceiver<()>) {
    loop {
        match timeout(REST, missing.recv()).await {
            Ok(Some(())) => {
                let Some(kept) = open(&pool, warm_up).await else {
                    return;
                };
                let Some(pool) = pool.upgrade() else { return };
                pool.give(kept);
            }
            Ok(None) => return,
            Err(_) => {
                let Some(pool) = pool.upgrade() else { return };
                pool.maintain().await;
            }
        }
    }
}

/// Opens and prepares a connection, and tries until it succeeds. Returns `None` if the pool was dropped.
async fn open(pool: &Weak<Shared>, warm_up: WarmUp) -> Option<Kept> {
    let shared = pool.upgrade()?;
    let (options, session) = (shared.options.clone(), shared.session.clone());
    drop(shared);
    let mut wait = RETRY.0;
    while pool.strong_count() > 0 {
        match timeout(MAX_OPEN, open_once(&options, &session, warm_up)).await {
            Ok(Ok(kept)) => return Some(kept),
            Ok(Err(error)) if wait == RETRY.0 => tracing::warn!(%error, "cannot open a connection for reads"),
            Ok(Err(error)) => tracing::debug!(%error, "cannot open a connection for reads"),
            Err(_) => tracing::warn!("opening a connection for reads takes too long"),
        }
        sleep(wait).await;
        wait = RETRY.1.min(wait * 2);
    }
    None
}

async fn open_once(options: &PgConnectOptions, session: &Session, warm_up: WarmUp) -> sqlx::Result<Kept> {
    let mut connection = PgConnection::connect_with(options).await?;
    session.check(&mut connection).await?;
    let backend = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut connection)
        .await?;
    match warm_up(&mut connection).await {
        // The tables may not be there yet. The requests say so better than a missing connection does.
        Err(sqlx::Error::Database(error)) => tracing::debug!(%error, "cannot prepare a connection for reads"),
        prepared => prepared?,
    }
    end(&mut connection).await?;
    let now = Instant::now();
    Ok(Kept {
        connection,
        backend,
        opened: now,
        used: now,
    })
}

impl Lent {
    /// Drops the connection instead of giving it back.
    fn discard(mut self) {
        if self.kept.take().is_some() {
            self.pool.replace();
        }
    }
}

const LENT: &str = "a lent connection is there until it is dropped";

impl Deref for Lent {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only `drop` and `discard` take the connection")]
    fn deref(&self) -> &PgConnection {
        &self.kept.as_ref().expect(LENT).connection
    }
}

impl DerefMut for Lent {
    #[expect(clippy::expect_used, reason = "only `drop` and `discard` take the connection")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.kept.as_mut().expect(LENT).connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without a runtime, the process is about to end.
        if let (Some(kept), Ok(runtime)) = (self.kept.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(Arc::clone(&self.pool).take_back(kept));
        }
    }
}
