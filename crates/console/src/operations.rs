//! What the pages for operators need beside what readers need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clock::Clock;
use ingest::Directory;
use operator::status::Part;
use operator::{Behalf, Operator};
use schemas::TokenId;
use service::Health;
use sqlx::PgPool;
use stream::Announcer;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often the parts are looked at, so that the last success of one that fails is known.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What a process has that serves the pages for operators: it accepts uploads, so it can write events and announce them. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    /// Connections with the role `dbt_api_operator`, which pages read with.
    pub pool: PgPool,
    /// Records what operators do. It is used for actions only.
    pub operator: Operator,
    /// Announces the events of actions.
    pub announcer: Announcer,
    /// Knows the keys of operators, also while PostgreSQL does not answer.
    pub directory: Directory,
    /// What the process needs.
    pub parts: Parts,
    /// The other systems that are observed, as `directory.observed` names them.
    pub observed: Vec<String>,
}

impl Operations {
    /// Acts on behalf of the holder of this token.
    pub(crate) fn on_behalf_of(&self, operator: TokenId) -> Operator {
        Operator {
            behalf: Some(Behalf {
                operator,
                announcer: self.announcer.clone(),
            }),
            ..self.operator.clone()
        }
    }
}

/// What a process needs, and when each could be used last. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    health: Arc<Health>,
    clock: Clock,
    successes: Arc<Mutex<BTreeMap<&'static str, DateTime<Utc>>>>,
}

impl Parts {
    /// Begins without having looked at them.
    #[must_use]
    pub fn new(health: Arc<Health>, clock: Clock) -> Self {
        Self {
            health,
            clock,
            successes: Arc::default(),
        }
    }

    /// Looks at them regularly until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let looking = async {
            loop {
                self.look().await;
                sleep(LOOK_EVERY).await;
            }
        };
        shutdown.run_until_cancelled(looking).await;
    }

    pub(crate) async fn look(&self) -> Vec<Part> {
        let looked = self.health.look().await;
        let now = self.clock.now();
        let mut successes = self.successes();
        let parts = looked.into_iter().map(|(name, result)| {
            if result.is_ok() {
                successes.insert(name, now);
            }
            Part {
                part: name.to_owned(),
                is_ok: result.is_ok(),
                result: result.err().unwrap_or_else(|| "ok".to_owned()),
                last_success_at: successes.get(name).copied(),
            }
        });
        parts.collect()
    }

    fn successes(&self) -> MutexGuard<'_, BTreeMap<&'static str, DateTime<Utc>>> {
        self.successes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
