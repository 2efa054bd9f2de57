//! Where reads come from: the primary, and standbys or a pooler beside it.

mod server;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::database::DatabaseSettings;
use crate::read_pool::ReadPool;
use crate::session::LOST_STATEMENTS;
use server::Server;
pub use server::check_copy;

/// How often the positions of both servers are compared.
const PERIOD: Duration = Duration::from_secs(1);

/// What is known before the servers were asked.
const NOT_ASKED: &str = "not asked yet";

/// The most positions of the primary that the server for reads may be behind: an hour.
const MAX_POSITIONS: usize = 3600;

/// The connections for reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    primary: ReadPool,
    beside: Option<Beside>,
}

/// The servers that are read instead of the primary.
#[derive(Clone, Debug)]
struct Beside {
    pool: ReadPool,
    max_lag: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the primary answers.
    primary_answers: bool,
    /// How far the server for reads is behind; none if it does not answer now.
    lag: Option<Duration>,
    /// Why it does not answer.
    error: String,
}

impl Reads {
    /// Reads from the primary alone.
    #[must_use]
    pub fn of_primary(primary: ReadPool) -> Self {
        Self { primary, beside: None }
    }

    /// Reads from other servers if they are at most this far behind the primary, which [`Reads::watch`] finds out.
    #[must_use]
    pub fn beside(primary: ReadPool, pool: ReadPool, max_lag: Duration) -> Self {
        let state = Arc::default();
        let beside = Some(Beside { pool, max_lag, state });
        Self { primary, beside }
    }

    /// The connections to the primary, which alone knows at once which keys are valid.
    #[must_use]
    pub fn primary(&self) -> &ReadPool {
        &self.primary
    }

    /// The connections to the servers that are read instead of the primary, if there are some, and they are not too far behind.
    #[must_use]
    pub fn replica(&self) -> Option<&ReadPool> {
        let beside = self.beside.as_ref()?;
        beside.problem().is_none().then_some(&beside.pool)
    }

    /// Whether the primary does not answer, although others do.
    #[must_use]
    pub fn primary_is_away(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| {
            let is_away = !beside.state().primary_answers;
            is_away && beside.problem().is_none()
        })
    }

    /// The check for the readiness; none if only the primary is read.
    ///
    /// # Errors
    /// The check fails if the servers cannot be read, or are too far behind.
    #[must_use]
    pub fn check(&self) -> Option<impl Fn() -> Result<(), String> + Send + Sync + use<>> {
        let beside = self.beside.clone()?;
        Some(move || beside.problem().map_or(Ok(()), Err))
    }

    /// Compares the servers with the primary every second until the shutdown.
    pub async fn watch(self, primary: DatabaseSettings, replica: DatabaseSettings, shutdown: CancellationToken) {
        if let Some(beside) = self.beside {
            let servers = [Server::of(primary), Server::of(replica)];
            shutdown.run_until_cancelled(beside.watch(servers)).await;
        }
    }
}

impl Beside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the servers are not read.
    fn problem(&self) -> Option<String> {
        let of_pool = self.pool.loses_statements().then(|| LOST_STATEMENTS.to_owned());
        of_pool.or_else(|| self.state().problem(self.max_lag))
    }

    async fn watch(self, [mut primary, mut replica]: [Server; 2]) {
        let mut positions = Positions::default();
        let mut known_primary = None;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (written, replayed) = tokio::join!(primary.place(), replica.place());
            let primary_answers = written.is_ok();
            if let Ok(written) = written {
                positions.write(Instant::now(), written.position);
                known_primary = Some(written);
            }
            let lag = replayed.map_err(|error| error.to_string()).and_then(|replayed| {
                let unknown = "how far it is behind is not known, because the primary has not answered yet";
                let primary = known_primary.as_ref().ok_or(unknown)?;
                replayed.ensure_copy_of(primary)?;
                Ok(positions.lag(replayed.position).ok_or(unknown)?)
            });
            let state = State {
                primary_answers,
                lag: lag.as_ref().ok().copied(),
                error: lag.as_ref().err().cloned().unwrap_or_default(),
            };
            let problem = state.problem(self.max_lag);
            let before = std::mem::replace(&mut *self.state(), state).problem(self.max_lag);
            let seconds = lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64());
            metrics::gauge!("dbt_api_replica_lag_seconds").set(seconds);
            report(before.as_deref(), problem.as_deref());
        }
    }
}

impl State {
    /// Why the servers are not read.
    fn problem(&self, max_lag: Duration) -> Option<String> {
        match self.lag {
            None if self.error.is_empty() => Some(NOT_ASKED.to_owned()),
            None => Some(self.error.clone()),
            Some(lag) if lag > max_lag => Some(format!(
                "{} s behind the primary, which is read instead: DB_READ_MAX_LAG_SECONDS allows {} s",
                lag.as_secs(),
                max_lag.as_secs()
            )),
            Some(_) => None,
        }
    }
}

fn report(before: Option<&str>, now: Option<&str>) {
    match (before, now) {
        (None | Some(NOT_ASKED), Some(problem)) => {
            tracing::warn!(problem, "reads come from the primary, not from DB_READ_URL")
        }
        (Some(_), None) => tracing::info!("reads come from DB_READ_URL"),
        _ => {}
    }
}

/// The positions of the primary that the server for reads has not reached yet, each with the time at which the primary was there.
#[derive(Default)]
struct Positions {
    ahead: VecDeque<(Instant, i64)>,
    /// When the primary last said its position. While it does not answer, nothing is written that one could be behind.
    last: Option<Instant>,
}

impl Positions {
    fn write(&mut self, now: Instant, written: i64) {
        self.last = Some(now);
        let is_new = self.ahead.back().is_none_or(|(_, last)| *last < written);
        if is_new && self.ahead.len() < MAX_POSITIONS {
            self.ahead.push_back((now, written));
        }
    }

    /// How far the server is behind that has replayed this; none if the primary was never asked.
    fn lag(&mut self, replayed: i64) -> Option<Duration> {
        let last = self.last?;
        while self.ahead.front().is_some_and(|(_, written)| *written <= replayed) {
            self.ahead.pop_front();
        }
        let oldest = self.ahead.front();
        Some(oldest.map_or(Duration::ZERO, |(written, _)| last.duration_since(*written)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_position_that_was_not_reached() {
        let mut positions = Positions::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(positions.lag(10), None);
        positions.write(at(0), 10);
        assert_eq!(positions.lag(10), Some(Duration::ZERO));
        positions.write(at(1), 20);
        positions.write(at(2), 30);
        assert_eq!(positions.lag(10), Some(Duration::from_secs(1)));
        positions.write(at(8), 30);
        assert_eq!(positions.lag(20), Some(Duration::from_secs(6)));
        // The primary does not answer any more.
        assert_eq!(positions.lag(20), Some(Duration::from_secs(6)));
        assert_eq!(positions.lag(30), Some(Duration::ZERO));
    }
}
