//! DAG runs as Airflow tells of them. What it tells becomes events, as uploads do; the projectors do the rest. Whatever Airflow does,
//! uploads go on.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use chrono::TimeDelta;
use clock::Clock;
use futures_util::future::join_all;
use read_model::try_lock_observing;
use sqlx::{Connection, PgConnection, PgPool};
use stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::Directory;
use watch::Watch;

/// How often the connection that holds the lock is looked at.
const LOCK_CHECK: Duration = Duration::from_secs(10);

/// What an observer works with.
pub struct Parts {
    /// Of the role `dbt_api_ingest`.
    pub pool: PgPool,
    /// Where the events go.
    pub bucket: Bucket,
    /// Where they are announced.
    pub stream: Stream,
    /// Tells the environments.
    pub directory: Directory,
    /// The time.
    pub clock: Clock,
}

/// Asks Airflows for their runs.
pub struct Observer {
    parts: Arc<Parts>,
    watches: Vec<Watch>,
    interval: Duration,
}

impl Observer {
    /// An observer of all that the settings name.
    ///
    /// # Errors
    /// When the system has no TLS.
    pub fn new(parts: Parts, settings: &airflow::Settings) -> Result<Self, airflow::Error> {
        let look_back: TimeDelta = settings.look_back;
        let watches = settings.environments.iter();
        Ok(Self {
            parts: Arc::new(parts),
            watches: watches
                .map(|environment| Watch::new(environment, look_back))
                .collect::<Result<_, _>>()?,
            interval: settings.interval,
        })
    }

    /// A check of whether all Airflows tell what they are asked.
    pub fn check(&self) -> impl Fn() -> std::future::Ready<Result<(), String>> + use<> {
        let troubles: Vec<_> = self.watches.iter().map(Watch::trouble).collect();
        move || {
            let told: Vec<String> = troubles.iter().filter_map(|trouble| trouble.told()).collect();
            std::future::ready(if told.is_empty() { Ok(()) } else { Err(told.join("; ")) })
        }
    }

    /// Observes until shutdown, unless another process does; then it waits to take its place.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.observe() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "the lock upon observing Airflow is not had; it is tried again");
                    }
                }
            }
            for watch in &self.watches {
                watch.trouble().end();
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// Observes for as long as the connection that holds the lock lasts. At once when another process has the lock.
    async fn observe(&mut self) -> sqlx::Result<()> {
        let mut connection = self.parts.pool.acquire().await?.detach();
        if !try_lock_observing(&mut connection).await? {
            return connection.close().await;
        }
        tracing::info!("this process observes Airflow");
        let (parts, interval) = (&self.parts, self.interval);
        let observing = join_all(self.watches.iter_mut().map(|watch| watch.run(parts, interval)));
        tokio::select! {
            _ = observing => Ok(()),
            error = end_of(&mut connection) => Err(error),
        }
    }
}

/// Waits until the connection is gone, and the lock with it.
async fn end_of(connection: &mut PgConnection) -> sqlx::Error {
    loop {
        tokio::time::sleep(LOCK_CHECK).await;
        if let Err(error) = connection.ping().await {
            return error;
        }
    }
}
