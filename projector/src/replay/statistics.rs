//! PostgreSQL's statistics of the tables that a replay fills.

use std::sync::atomic::{AtomicUsize, Ordering};

use read_model::statistics::analyze_current;
use sqlx::PgPool;

use crate::batch::MAX_EVENTS;

/// Updates the statistics while a replay applies batches. Without them, PostgreSQL reads whole tables to find the few rows that a batch needs.
/// It updates them by itself too, but not before a minute has passed.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    events: AtomicUsize,
}

impl Statistics {
    /// Notes that this many events were applied, and updates the statistics if the tables may have doubled since the last time. For few events
    /// they need no update.
    pub(super) async fn note(&self, events: usize, pool: &PgPool) {
        let before = self.events.fetch_add(events, Ordering::Relaxed);
        let now = before + events;
        if now >= MAX_EVENTS
            && now.ilog2() > before.max(1).ilog2()
            && let Err(error) = update(pool).await
        {
            tracing::debug!(%error, "cannot update the statistics of the tables");
        }
    }
}

async fn update(pool: &PgPool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    analyze_current(&mut connection).await
}
