//! How the rate of a replay changes while the read model grows.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::PgPool;
use testkit::run_command;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::journal::Journal;
use crate::report::{Goal, Line};

/// The number of distinct manifests.
const MANIFESTS: usize = 100;

/// The numbers of applied events at which the rate is measured, and over how many events before that.
const WINDOWS: [(usize, usize); 3] = [(10_000, 5_000), (100_000, 10_000), (1_000_000, 10_000)];

/// How often the number of applied events is noted.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let [.., (events, _)] = WINDOWS;
    let journal = Journal::write(binary, events, events / MANIFESTS).await?;
    let installation = &journal.installation;
    let (stop, stopped) = oneshot::channel();
    let samples = tokio::spawn(sample(installation.pool.clone(), stopped));
    let done = tokio::task::block_in_place(|| run_command(binary, &["replay"], &installation.system));
    drop(stop);
    let samples = samples.await??;
    let applied = done["events"]["applied"].as_u64().context("no events")?;
    ensure!(applied >= events as u64, "{applied} of {events} events were applied");
    let rate_at = |(end, length): (usize, usize)| {
        rate(&samples, (end - length) as f64, end as f64).with_context(|| format!("no rate at {end}"))
    };
    let rates: Vec<f64> = WINDOWS.into_iter().map(rate_at).collect::<Result<_, _>>()?;
    let lines = WINDOWS.iter().zip(&rates).skip(1).map(|((end, _), rate)| {
        let what = format!("replay when {end} events were applied; when {} were", WINDOWS[0].0);
        Line::beside(what, *rate, "events/s", rates[0], Goal::AtLeast(1.0 / 1.3)).named("growth")
    });
    Ok(lines.collect())
}

/// The seconds since the beginning, and the number of events that were applied until then.
type Sample = (f64, f64);

async fn sample(pool: PgPool, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<Vec<Sample>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        // From PostgreSQL's statistics, because counting a million rows again and again would slow the replay down.
        let inserted =
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'read_model' AND relname = 'ledger'";
        let applied: Option<i64> = sqlx::query_scalar(inserted).fetch_one(&pool).await?;
        samples.push((begun.elapsed().as_secs_f64(), applied.unwrap_or_default() as f64));
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(samples)
}

/// Returns the events per second between two numbers of applied events.
fn rate(samples: &[Sample], from: f64, to: f64) -> Option<f64> {
    let (begin, first) = samples.iter().rfind(|(_, applied)| *applied <= from)?;
    let (end, last) = samples.iter().find(|(_, applied)| *applied >= to)?;
    Some((last - first) / (end - begin))
}
