//! Connections for reads, which are opened and prepared in the background.

mod opening;

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::hosts::Hosts;
use crate::session::{LOST_STATEMENTS, Session};

/// How long a read waits until its transaction has begun. Clients give up soon after that.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may take to end what a client left behind, beyond the time limit of statements.
const MAX_END: Duration = Duration::from_secs(5);

/// How long the end of a transaction usually takes at most. If it takes longer, its client left during a statement, which is then cancelled.
const USUAL_END: Duration = Duration::from_millis(100);

/// A connection that was not used for this long is tested, so that it does not turn out to be dead at the next request.
const REST: Duration = Duration::from_secs(30);

/// The age at which a connection is replaced, because PostgreSQL's process grows with what it has seen.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Prepares a new connection. The text is what its transactions begin with. The transaction that it begins last stays open.
pub type WarmUp = for<'c> fn(&'c mut PgConnection, String) -> BoxFuture<'c, sqlx::Result<()>>;

/// A fixed number of connections for read-only transactions. Cheap to clone.
///
/// sqlx's own pool opens a connection while the request that found none waits, and loses one when a request that is about to get it is
/// cancelled. Here a task of its own opens all connections, from the start on. A request waits for one that is ready, and only lends it.
#[derive(Clone)]
pub struct ReadPool(Arc<Shared>);

struct Shared {
    size: usize,
    hosts: Hosts,
    session: Session,
    loses_statements: AtomicBool,
    /// When the server was started whose lag is known, in microseconds; 0 if none is.
    server: AtomicI64,
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
    /// Why the last attempt to open a connection failed, if it did.
    trouble: Mutex<Option<String>>,
}

struct Kept {
    connection: PgConnection,
    /// The id of PostgreSQL's process, if it must be the same for all transactions. A pooler that gives each transaction another process, and
    /// does not keep prepared statements for its clients, would execute those of another client.
    backend: Option<i32>,
    opened: Instant,
    /// When it was open.
    connected: Instant,
    used: Instant,
}

/// A connection that is lent. When it is dropped, its transaction is rolled back, and it goes back to the pool.
pub struct Lent {
    kept: Option<Kept>,
    pool: Arc<Shared>,
}

impl ReadPool {
    /// Begins to open this many connections in the background, and keeps as many, each with the role, the search path and the time limits of
    /// `session`. A connection is ready once `warm_up` has prepared it.
    ///
    /// # Panics
    /// Panics outside of a Tokio runtime.
    #[must_use]
    pub fn open(options: PgConnectOptions, session: Session, size: usize, warm_up: WarmUp) -> Self {
        Self::of_hosts(Hosts::one(options), session, size, warm_up)
    }

    pub(crate) fn of_hosts(hosts: Hosts, session: Session, size: usize, warm_up: WarmUp) -> Self {
        let (missing, to_open) = unbounded_channel();
        let shared = Arc::new(Shared {
            size,
            hosts,
            loses_statements: AtomicBool::new(false),
            server: AtomicI64::new(0),
            cancelling: tokio::sync::Mutex::default(),
            max_end: session.statement_timeout() + MAX_END,
            session,
            ready: Mutex::default(),
            available: Semaphore::new(0),
            missing,
            trouble: Mutex::default(),
        });
        for _ in 0..size {
            shared.replace();
        }
        tokio::spawn(opening::keep(Arc::downgrade(&shared), warm_up, to_open));
        Self(shared)
    }

    /// The number of connections.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Lends a connection on which a read-only transaction has begun with these statements, and returns their rows. They are one simple query,
    /// so they take one round trip. If the connection turns out to be broken, they are sent again on another.
    ///
    /// # Errors
    /// Returns the error of a statement. If they have not succeeded after 5 s, it is the reason why no connection can be opened, or
    /// [`sqlx::Error::PoolTimedOut`].
    pub async fn begin(&self, statements: &str) -> sqlx::Result<(Lent, Vec<PgRow>)> {
        let beginning = self.0.beginning();
        if !self.0.session.asks_in_transactions() {
            return self.run(format!("{beginning}{statements}")).await;
        }
        let statements = format!(
            "{beginning}{statements}; SELECT pg_backend_pid(), (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"
        );
        let (lent, mut rows) = self.run(statements).await?;
        let server = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
        let (process, started): (i32, i64) = (server.try_get(0)?, server.try_get(1)?);
        if started != self.0.server.load(Ordering::Relaxed) {
            lent.discard();
            return Err(sqlx::Error::Protocol(
                "the connection leads to another server than the one whose lag is known".to_owned(),
            ));
        }
        if lent.must_be_process().is_none_or(|expected| expected == process) {
            return Ok((lent, rows));
        }
        lent.discard();
        self.0.loses_statements.store(true, Ordering::Relaxed);
        Err(self.0.session.lost_statements())
    }

    /// Connections to other servers than the one that was started at this time, in microseconds, are not used from now on. An address may lead to
    /// several servers.
    pub(crate) fn read_only_from(&self, started: i64) {
        self.0.server.store(started, Ordering::Relaxed);
    }

    /// Why its connections cannot be used: a pooler in front of the server gave a transaction another connection, without the statements that its
    /// client has prepared, or the last attempt to open one failed.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.0.loses_statements.load(Ordering::Relaxed) {
            return Some(LOST_STATEMENTS.to_owned());
        }
        self.0.trouble().clone()
    }

    /// Executes these statements in a transaction of their own, which may write.
    ///
    /// # Errors
    /// As [`ReadPool::begin`].
    pub async fn write(&self, statements: &str) -> sqlx::Result<()> {
        let local = self.0.session.local_statements();
        self.run(format!("BEGIN; {local}{statements}; COMMIT")).await?;
        Ok(())
    }

    async fn run(&self, statements: String) -> sqlx::Result<(Lent, Vec<PgRow>)> {
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
            .unwrap_or_else(|_| Err(self.0.late()))
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
        loop {
            let permit = self.available.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            permit.forget();
            let kept = self.ready().pop();
            let lent = Lent {
                kept,
                pool: Arc::clone(self),
            };
            if lent.is_of_former_server() {
                lent.discard();
            } else {
                return Ok(lent);
            }
        }
    }

    /// What transactions begin with, before the statements of the client. All statements of a request see the same moment: a job could otherwise be
    /// merged into another one between the statement that reads its run and the one that reads the job.
    fn beginning(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
            self.session.local_statements()
        )
    }

    /// The options of the server that is used.
    fn options(&self) -> PgConnectOptions {
        let options = self.session.ask(self.hosts.options().clone());
        if !self.session.asks_in_transactions() {
            // The pool also rolls back where there is no transaction, of which PostgreSQL would warn.
            return options.options([("client_min_messages", "error")]);
        }
        options
    }

    fn give(&self, kept: Kept) {
        self.ready().push(kept);
        self.available.add_permits(1);
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a read that has got no connection.
    fn late(&self) -> sqlx::Error {
        match self.trouble().clone() {
            Some(trouble) => sqlx::Error::Io(std::io::Error::other(trouble)),
            None => sqlx::Error::PoolTimedOut,
        }
    }

    /// Has another connection opened.
    fn replace(&self) {
        // The receiver is dropped only when the runtime ends.
        let _ = self.missing.send(());
    }

    /// Ends what was begun on a connection, and makes it ready again.
    async fn take_back(self: Arc<Self>, mut kept: Kept) {
        let ended = timeout(self.max_end, self.end(&mut kept)).await;
        self.keep(kept, ended);
    }

    /// Makes a connection ready again that was not used for long, if it still answers.
    async fn test(self: Arc<Self>, mut kept: Kept) {
        let answered = timeout(MAX_END, kept.connection.ping()).await;
        self.keep(kept, answered);
    }

    fn keep(&self, mut kept: Kept, ended: Result<sqlx::Result<()>, tokio::time::error::Elapsed>) {
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
        // Behind a pooler, the process may already execute statements of another client: the time limit ends the statement.
        if let Some(backend) = kept.backend.filter(|_| !self.session.asks_in_transactions()) {
            // Waited for in any case: a cancellation that comes late would end a statement of the next client.
            if let Err(error) = self.cancel(backend).await {
                tracing::warn!(%error, "cannot cancel a statement whose client left");
            }
        }
        ending.await
    }

    async fn cancel(&self, backend: i32) -> sqlx::Result<()> {
        let _turn = self.cancelling.lock().await;
        let mut connection = PgConnection::connect_with(&self.options()).await?;
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
            tokio::spawn(Arc::clone(self).test(kept));
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

impl Lent {
    /// A moment at which the connection was open already, and since which it has been.
    #[must_use]
    pub fn connected_at(&self) -> Instant {
        self.kept.as_ref().map_or_else(Instant::now, |kept| kept.connected)
    }

    fn must_be_process(&self) -> Option<i32> {
        self.kept.as_ref()?.backend
    }

    /// Whether this may be a connection to the server that was used before another one.
    fn is_of_former_server(&self) -> bool {
        let age = self.kept.as_ref().map(|kept| kept.opened.elapsed());
        age.is_some_and(|age| self.pool.hosts.chosen().is_newer_than(age))
    }

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
