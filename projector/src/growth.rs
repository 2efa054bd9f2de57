//! What grows faster than PostgreSQL's statistics know.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use read_model::statistics::{Table, analyze_current, expected_rows};
use schemas::AccountId;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Projector;
use crate::content::{Content, Contents};

/// Fewer rows are read quickly in any way.
const MIN_ROWS: usize = 1_000;

/// What has more rows than expected times this is counted again.
const FACTOR: usize = 2;

/// How long the statistics are left alone after an error.
const PAUSE: Duration = Duration::from_secs(60);

/// The most rows that a batch lately defined, of accounts that got many at once.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    written: Mutex<Rows>,
    more: Notify,
}

type Rows = BTreeMap<(AccountId, Table), usize>;

impl Growth {
    /// Notes the rows of contents that were written.
    pub(crate) fn note(&self, rows: Rows) {
        let mut written = self.written();
        for (key, rows) in rows.into_iter().filter(|(_, rows)| *rows >= MIN_ROWS) {
            let most = written.entry(key).or_default();
            *most = rows.max(*most);
            self.more.notify_one();
        }
    }

    fn written(&self) -> MutexGuard<'_, Rows> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of contents, by account and table.
pub(crate) fn rows_of(contents: &Contents) -> Rows {
    let mut rows = Rows::new();
    for (key, content) in contents {
        let (table, count) = match content {
            Ok(Content::Manifest(manifest)) => (Table::Nodes, manifest.nodes()),
            Ok(Content::Results(results)) => (Table::NodeResults, results.rows.len()),
            Ok(Content::Catalog(_)) | Err(_) => continue,
        };
        *rows.entry((key.account(), table)).or_default() += count;
    }
    rows
}

/// Updates the statistics as soon as an account has many more rows than they say. PostgreSQL takes such an account to be almost empty, and reads
/// its 22,500 nodes once for each node: a lineage took 15 s (PostgreSQL 15.18). It updates them by itself, too, but not before a minute has
/// passed, and not for an account that is small beside the others.
pub(crate) async fn run(projector: &Projector, shutdown: &CancellationToken) {
    let growth = &projector.growth;
    let following = async {
        // PostgreSQL lists only the accounts that have the most rows. The others are not counted again and again.
        let mut counted = Rows::new();
        loop {
            growth.more.notified().await;
            let mut written = std::mem::take(&mut *growth.written());
            written.retain(|key, rows| *rows > FACTOR * counted.get(key).copied().unwrap_or_default());
            match update(&projector.pool, &written).await {
                Ok(()) => counted.extend(written),
                Err(error) => {
                    tracing::warn!(%error, "cannot update the statistics of the tables, so some reads may be slow for a while");
                    growth.note(written);
                    sleep(PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(following).await;
}

async fn update(pool: &PgPool, written: &Rows) -> sqlx::Result<()> {
    if written.is_empty() {
        return Ok(());
    }
    let mut connection = pool.acquire().await?;
    for ((account, table), rows) in written {
        let expected = expected_rows(&mut connection, *table, *account).await?;
        #[expect(clippy::cast_precision_loss, reason = "it is compared with an estimate")]
        if *rows as f64 > FACTOR as f64 * expected {
            tracing::info!(account_id = %account, rows, expected, "updates the statistics of the tables");
            return analyze_current(&mut connection).await;
        }
    }
    Ok(())
}
