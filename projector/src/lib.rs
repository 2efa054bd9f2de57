#![doc = include_str!("../README.md")]

mod batch;
mod change;
mod consume;
mod content;
mod error;
mod growth;
mod lock_waits;
mod numbers;
mod outcome;
mod pack;
mod placement;
mod project;
mod rebuild;
mod recover;
mod replay;
mod selection;
mod silence;
mod split;
mod state;
mod sweep;
mod trace;
mod waiting;

use std::sync::Arc;

use bucket::Bucket;
use clock::Clock;
use sqlx::PgPool;
use stream::Stream;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use growth::Growth;

pub use artifacts::start_threads;
pub use error::ApplyError;
pub use outcome::Outcome;
pub use project::PrunePlan;
pub use rebuild::{Begun, NEXT_SCHEMA, OLD_SCHEMA, Rebuild};
pub use replay::Outcomes;
pub use selection::Selection;
pub use silence::{Silence, SilentEnvironment};
pub use sweep::Swept;
pub use waiting::{Backlog, Waiting, WaitingAtMost};

/// The maximum size of the artifacts that are processed at the same time, in MiB. Each needs some two times its size in memory.
const MEMORY_MIB: usize = 96;

/// Shows counters with 0 before anything is counted, because an alert on a rate does not see a counter that begins with 1.
pub fn declare_metrics() {
    metrics::counter!("dbt_api_swept_events_total").increment(0);
    metrics::counter!("dbt_api_dead_letters_total").increment(0);
}

/// Turns events into rows. Cheap to clone.
#[derive(Clone)]
pub struct Projector {
    pool: PgPool,
    bucket: Bucket,
    clock: Clock,
    memory: Arc<Semaphore>,
    growth: Arc<Growth>,
}

impl Projector {
    /// Creates a projector. The pool's connections must use the role `dbt_api_projector` and [`read_model::SEARCH_PATH`].
    #[must_use]
    pub fn new(pool: PgPool, bucket: Bucket, clock: Clock) -> Self {
        Self {
            pool,
            bucket,
            clock,
            memory: Arc::new(Semaphore::new(MEMORY_MIB)),
            growth: Arc::default(),
        }
    }

    /// Applies events as they arrive until the shutdown. Events that were begun are finished.
    pub async fn run(self, stream: Stream, shutdown: CancellationToken) {
        let hearing = watch::Sender::new(true);
        tokio::join!(
            consume::run(&self, &stream, &hearing, &shutdown),
            sweep::run(&self, hearing.subscribe(), &shutdown),
            pack::run(&self, &shutdown),
            waiting::run(&self, &shutdown),
            silence::run(&self, &shutdown),
            growth::run(&self, &shutdown),
        );
    }
}
