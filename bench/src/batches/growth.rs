//! The rate of a replay beside the number of events that were applied before.

use std::time::Instant;

use anyhow::{Context, ensure};
use sqlx::PgPool;
use testkit::run_command;

use super::journal::write_events;
use crate::history;
use crate::installation::Installation;
use crate::report::{Goal, Line};

/// The numbers of events that were applied before.
const APPLIED: [i64; 3] = [10_000, 100_000, MOST];

const MOST: i64 = 1_000_000;

/// The number of events that are replayed each time.
const EVENTS: usize = 5_000;

/// The number of runs that upload the same manifest.
const RUNS_OF_MANIFEST: usize = 20;

pub(super) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let ingest = installation.start("ingest").await?;
    let mut rates = Vec::new();
    for (number, applied) in APPLIED.into_iter().enumerate() {
        fill(&installation.pool, applied).await?;
        write_events(
            &installation,
            &ingest,
            number * EVENTS..(number + 1) * EVENTS,
            RUNS_OF_MANIFEST,
        )
        .await?;
        let begun = Instant::now();
        let done = run_command(binary, &["replay"], &installation.system);
        let took = begun.elapsed();
        let replayed = done["applied"].as_u64().context("no events")?;
        ensure!(replayed >= EVENTS as u64, "{replayed} of {EVENTS} events were applied");
        rates.push(replayed as f64 / took.as_secs_f64());
    }
    let lines = APPLIED.iter().zip(&rates).skip(1).map(|(applied, rate)| {
        let what = format!(
            "replay where {applied} events were applied before; where {} were",
            APPLIED[0]
        );
        let mut line = Line::beside(what, *rate, "events/s", rates[0], Goal::AtLeast(0.77));
        line.id = (*applied == MOST).then_some("growth");
        line
    });
    Ok(lines.collect())
}

/// Adds what so many events left, each the upload of a manifest by a run. Only rows are written, because applying the events would take an
/// hour.
async fn fill(pool: &PgPool, events: i64) -> anyhow::Result<()> {
    history::add_runs(pool, 1, 100, events).await?;
    let statements = [
        "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, dag_id, airflow_run_id, invocation_id,
            kind, name, sha256, size, run_id, step_id)
         SELECT md5(r.id::text)::uuid, 0, 1, 1, 1, r.created_at, r.dag_id, r.airflow_run_id, md5(r.id::text), 'manifest', 'manifest.json',
            sha256(((r.id - 10000000) / 20)::text::bytea), 2800000, r.id, r.id
         FROM runs r WHERE r.account_id = 1 AND r.id BETWEEN 10000001 AND 10000000 + $1 ON CONFLICT DO NOTHING",
        "INSERT INTO ledger (event_id) SELECT event_id FROM artifacts ON CONFLICT DO NOTHING",
        // Negative, so that the next number is the same.
        "INSERT INTO ids.runs (id, account_id, environment_id, key, key_sha256)
         SELECT -r.id, 1, 1, r.id::text, sha256(r.id::text::bytea) FROM runs r
         WHERE r.account_id = 1 AND r.id BETWEEN 10000001 AND 10000000 + $1 ON CONFLICT DO NOTHING",
    ];
    for statement in statements {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") {
            query.bind(events)
        } else {
            query
        };
        query.execute(pool).await?;
    }
    history::settle(pool).await
}
