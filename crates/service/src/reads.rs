//! Where reads come from: the primary, and standbys or a pooler in front of them.

mod positions;
mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::database::DatabaseSettings;
use crate::read_pool::ReadPool;
use positions::Positions;
pub use server::check_copy;
use server::{Place, Server};

/// How often the positions of both servers are compared.
const PERIOD: Duration = Duration::from_secs(1);

/// The connections for reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    primary: ReadPool,
    replica: Option<Replica>,
}

/// The servers that are read instead of the primary.
#[derive(Clone, Debug)]
struct Replica {
    pool: ReadPool,
    max_lag: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Whether the primary answers.
    primary_answers: bool,
    /// Why the servers may not be read; none if they may.
    problem: Option<Problem>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            primary_answers: false,
            problem: Some(Problem::NotAsked),
        }
    }
}

/// Why the servers for reads may not be read.
#[derive(Clone, Debug)]
enum Problem {
    NotAsked,
    /// They do not answer.
    Down(String),
    /// The primary has never said its position, with the reason.
    PrimaryUnknown(String),
    /// They are not the primary's, with the reason.
    NotACopy(String),
    Behind {
        lag: Duration,
        max: Duration,
    },
    /// They answer, but the connections for reads cannot be used.
    Connections(String),
}

impl Reads {
    /// Reads from the primary alone.
    #[must_use]
    pub fn of_primary(primary: ReadPool) -> Self {
        Self { primary, replica: None }
    }

    /// Reads from other servers if they are copies of the primary and at most this far behind it, which [`Reads::watch`] finds out.
    #[must_use]
    pub fn with_replica(primary: ReadPool, pool: ReadPool, max_lag: Duration) -> Self {
        let state = Arc::default();
        let replica = Some(Replica { pool, max_lag, state });
        Self { primary, replica }
    }

    /// The connections to the primary, which alone knows at once which keys are valid.
    #[must_use]
    pub fn primary(&self) -> &ReadPool {
        &self.primary
    }

    /// The connections to the servers that are read instead of the primary, if there are some that may be read now.
    #[must_use]
    pub fn replica(&self) -> Option<&ReadPool> {
        let replica = self.replica.as_ref()?;
        replica.problem().is_none().then_some(&replica.pool)
    }

    /// Whether the primary does not answer, although others do.
    #[must_use]
    pub fn primary_is_down(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| {
            let is_down = !replica.state().primary_answers;
            is_down && replica.problem().is_none()
        })
    }

    /// The check for the readiness; none if only the primary is read.
    ///
    /// # Errors
    /// The check fails if the servers may not be read.
    #[must_use]
    pub fn check(&self) -> Option<impl Fn() -> Result<(), String> + Send + Sync + use<>> {
        let replica = self.replica.clone()?;
        Some(move || replica.problem().map_or(Ok(()), |problem| Err(problem.to_string())))
    }

    /// Compares the servers with the primary every second until the shutdown.
    pub async fn watch(self, primary: DatabaseSettings, replica: DatabaseSettings, shutdown: CancellationToken) {
        if let Some(watched) = self.replica {
            let servers = [Server::primary(primary), Server::replica(replica)];
            shutdown.run_until_cancelled(watched.watch(servers)).await;
        }
    }
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the servers may not be read.
    fn problem(&self) -> Option<Problem> {
        let of_servers = self.state().problem.clone();
        of_servers.or_else(|| self.pool.problem().map(Problem::Connections))
    }

    async fn watch(self, [mut primary, mut replica]: [Server; 2]) {
        let mut positions = Positions::default();
        let mut known: Result<Place, String> = Err("not asked yet".to_owned());
        let mut before = Some(Problem::NotAsked);
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (written, replayed) = tokio::join!(primary.place(), replica.place());
            let primary_answers = written.is_ok();
            match written {
                Ok(written) => {
                    positions.write(Instant::now(), written.position);
                    known = Ok(written);
                }
                Err(error) if known.is_err() => known = Err(error.to_string()),
                // The last position counts: nothing is written that the servers could be behind, if the primary is down for all.
                Err(_) => {}
            }
            let server = replayed.as_ref().map_or(0, |place| place.started);
            let compared = compare(replayed, known.as_ref(), primary_answers, &mut positions);
            let seconds = compared.as_ref().map_or(f64::INFINITY, Duration::as_secs_f64);
            metrics::gauge!("dbt_api_replica_lag_seconds").set(seconds);
            let problem = match compared {
                Ok(lag) if lag > self.max_lag => Some(Problem::Behind { lag, max: self.max_lag }),
                Ok(_) => None,
                Err(problem) => Some(problem),
            };
            self.pool.read_only_from(server);
            *self.state() = State {
                primary_answers,
                problem,
            };
            let now = self.problem();
            metrics::gauge!("dbt_api_replica_is_read").set(f64::from(u8::from(now.is_none())));
            before = report(before, now);
        }
    }
}

/// How far the servers are behind.
fn compare(
    replayed: sqlx::Result<Place>,
    primary: Result<&Place, &String>,
    primary_answers: bool,
    positions: &mut Positions,
) -> Result<Duration, Problem> {
    let replayed = replayed.map_err(|error| Problem::Down(error.to_string()))?;
    let unknown = |error: &str| Problem::PrimaryUnknown(error.to_owned());
    let primary = primary.map_err(|error| unknown(error))?;
    replayed.ensure_copy_of(primary).map_err(Problem::NotACopy)?;
    // While the primary does not answer, it may be the one that was promoted.
    if primary_answers {
        replayed
            .ensure_no_other_primary_than(primary)
            .map_err(Problem::NotACopy)?;
    }
    positions.lag(replayed.position).ok_or_else(|| unknown("not asked yet"))
}

/// Logs when another kind of problem begins, or the last one ends. Returns the problem that counts as known.
fn report(before: Option<Problem>, now: Option<Problem>) -> Option<Problem> {
    let kind = |problem: &Option<Problem>| problem.as_ref().map(std::mem::discriminant);
    match &now {
        _ if kind(&before) == kind(&now) => {}
        Some(problem) => tracing::warn!(%problem, "reads come from the primary, not from DB_READ_URL"),
        None => tracing::info!("reads come from DB_READ_URL"),
    }
    now
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked yet"),
            Self::Down(problem) | Self::NotACopy(problem) | Self::Connections(problem) => f.write_str(problem),
            Self::PrimaryUnknown(error) => write!(
                f,
                "how far it is behind is not known, because the primary does not say its position: {error}"
            ),
            Self::Behind { lag, max } => write!(
                f,
                "{:.1} s behind the primary, which is read instead: DB_READ_MAX_LAG_SECONDS allows {} s",
                lag.as_secs_f64(),
                max.as_secs()
            ),
        }
    }
}
