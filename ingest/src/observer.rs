//! Observes DAG runs in Airflow. Each observation becomes an event, as uploads do, and the projectors do the rest. Uploads do not depend on
//! Airflow.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use chrono::TimeDelta;
use clock::Clock;
use futures_util::future::join_all;
use read_model::airflow::try_lock_observing;
use sqlx::{Connection, PgConnection, PgPool};
use stream::Announcer;
use tokio_util::sync::CancellationToken;

use crate::Directory;
use watch::Watch;

/// How often the connection that holds the lock is checked.
const LOCK_CHECK: Duration = Duration::from_secs(10);

/// The services that an observer needs.
pub struct Parts {
    /// Connects with the role `dbt_api_ingest`.
    pub pool: PgPool,
    /// Stores the events.
    pub bucket: Bucket,
    /// Announces the events.
    pub announcer: Announcer,
    /// Looks up the environments.
    pub directory: Directory,
    /// Supplies the time and new ids.
    pub clock: Clock,
}

/// Polls Airflows for their runs.
pub struct Observer {
    parts: Arc<Parts>,
    watches: Vec<Watch>,
    interval: Duration,
}

impl Observer {
    /// Creates an observer for all environments in the settings.
    ///
    /// # Errors
    /// If TLS is not available on this system.
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

    /// Returns a check that fails while any Airflow cannot be observed.
    pub fn check(&self) -> impl Fn() -> std::future::Ready<Result<(), String>> + use<> {
        let troubles: Vec<_> = self.watches.iter().map(Watch::trouble).collect();
        move || {
            let messages: Vec<String> = troubles.iter().filter_map(|trouble| trouble.message()).collect();
            std::future::ready(if messages.is_empty() {
                Ok(())
            } else {
                Err(messages.join("; "))
            })
        }
    }

    /// Observes until shutdown. While another process observes, it waits to take over.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.observe() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "does not hold the lock for observing Airflow; retrying");
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

    /// Observes for as long as the connection that holds the lock lasts. Returns at once if another process holds the lock.
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

/// Waits until the connection, and with it the lock, is lost.
async fn end_of(connection: &mut PgConnection) -> sqlx::Error {
    loop {
        tokio::time::sleep(LOCK_CHECK).await;
        if let Err(error) = connection.ping().await {
            return error;
        }
    }
}
