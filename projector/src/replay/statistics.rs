//! PostgreSQL's statistics of the tables that a replay fills.

use std::sync::atomic::{AtomicUsize, Ordering};

use read_model::rebuild::{analyze, current_schema};
use sqlx::PgPool;

/// Updates the statistics while a replay applies batches. Without them, PostgreSQL reads whole tables to find the few rows that a batch needs.
/// It updates them by itself too, but not before a minute has passed.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    batches: AtomicUsize,
}

impl Statistics {
    /// Notes that a batch was applied, and updates the statistics if the tables may have doubled since the last time.
    pub(super) async fn note_batch(&self, pool: &PgPool) {
        let batches = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        if batches.is_power_of_two()
            && let Err(error) = update(pool).await
        {
            tracing::debug!(%error, "cannot update the statistics of the tables");
        }
    }
}

async fn update(pool: &PgPool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let schema = current_schema(&mut connection).await?;
    analyze(&mut connection, &schema).await
}
