//! Pages of runs on few and many connections, in bursts after silence, and with clients that leave before the answer.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::Service;

use super::{REQUESTS, failures, get};
use crate::installation::{Installation, percentile};
use crate::report::{Goal, Line};

const CONNECTIONS: [usize; 4] = [16, 32, 64, 256];

/// The number of connections of the figure that has an id.
const NAMED: usize = 32;

/// The number of requests among which the slowest is looked for.
const PAGES: usize = 10_000;

/// How long nothing is sent before a burst. Connections are checked every second, so that some checks fall into it.
const SILENCE: Duration = Duration::from_secs(10);

/// The requests of a burst, which are sent at the same time.
const BURST: usize = 64;

/// The number of clients that leave before the answer.
const LEAVING: u64 = 2_000;

/// The clients leave after up to this many milliseconds.
const PATIENCE: u64 = 20;

pub(super) async fn measure(installation: &Installation, api: &Service) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut p99_of_many = f64::NAN;
    for connections in CONNECTIONS {
        let pages = pages(installation, api, connections, PAGES).await;
        let what = format!("the slowest of {PAGES} pages of runs, {connections} connections; their p99");
        let p99 = percentile(pages.times.clone(), 99.0);
        p99_of_many = p99;
        let mut line = Line::beside(what, pages.slowest(), "ms", p99, Goal::AtMost(5.0));
        line.id = (connections == NAMED).then_some("slowest_read");
        lines.push(line);
        lines.extend(failures(
            &format!("pages of runs, {connections} connections"),
            pages.failed,
        ));
    }
    tokio::time::sleep(SILENCE).await;
    let burst = pages(installation, api, BURST, BURST).await;
    let [.., most] = CONNECTIONS;
    lines.push(Line::beside(
        format!(
            "the slowest of {BURST} pages at the same time after {} s of silence; the p99 on {most} connections",
            SILENCE.as_secs()
        ),
        burst.slowest(),
        "ms",
        p99_of_many,
        Goal::AtMost(5.0),
    ));
    lines.extend(failures("pages of runs after silence", burst.failed));
    let kept = kept_despite_leaving(installation, api).await?;
    lines.push(Line::alone(
        format!("connections to PostgreSQL that are kept although {LEAVING} clients leave within {PATIENCE} ms"),
        kept * 100.0,
        "%",
        Goal::AtLeast(100.0),
    ));
    Ok(lines)
}

/// The milliseconds of the requests that were answered, and the number of those that failed.
struct Pages {
    times: Vec<f64>,
    failed: u64,
}

impl Pages {
    fn slowest(&self) -> f64 {
        percentile(self.times.clone(), 100.0)
    }
}

async fn pages(installation: &Installation, api: &Service, connections: usize, pages: usize) -> Pages {
    let (_, path) = REQUESTS[0];
    let left = AtomicUsize::new(pages);
    let client = || async {
        let (mut times, mut failed) = (Vec::new(), 0_u64);
        while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            let begun = Instant::now();
            match get(installation, api, path).await {
                Ok(_) => times.push(begun.elapsed().as_secs_f64() * 1000.0),
                Err(_) => failed += 1,
            }
        }
        (times, failed)
    };
    let measured = join_all((0..connections).map(|_| client())).await;
    Pages {
        failed: measured.iter().map(|(_, failed)| failed).sum(),
        times: measured.into_iter().flat_map(|(times, _)| times).collect(),
    }
}

/// Returns the share of the service's connections that are left after clients left while their requests were answered.
async fn kept_despite_leaving(installation: &Installation, api: &Service) -> anyhow::Result<f64> {
    let (_, path) = REQUESTS[0];
    let before = connections_of_service(installation).await?;
    for first in (0..LEAVING).step_by(BURST) {
        let last = (first + BURST as u64).min(LEAVING);
        let clients = (first..last).map(|number| {
            let patience = Duration::from_millis(number % PATIENCE + 1);
            tokio::time::timeout(patience, get(installation, api, path))
        });
        join_all(clients).await;
    }
    // These take each connection once more, also those that the clients left.
    pages(installation, api, BURST, BURST).await;
    let after = connections_of_service(installation).await?;
    Ok(before.intersection(&after).count() as f64 / before.len() as f64)
}

async fn connections_of_service(installation: &Installation) -> anyhow::Result<HashSet<i32>> {
    let pids = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbt-api'";
    let pids: Vec<i32> = sqlx::query_scalar(pids).fetch_all(&installation.owner).await?;
    Ok(pids.into_iter().collect())
}
