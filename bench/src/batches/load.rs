//! Many clients that upload at the same time, each upload a new run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::System;
use testkit::s3::S3Server;

use super::line;
use crate::installation::{Installation, forget_peak, peak_mib, until};
use crate::report::{Goal, Line};
use crate::sustained::Pattern;

const CLIENTS: usize = 32;

/// Small manifests, of which the project's own overhead is measured.
const SMALL: usize = 1;

const LARGE: usize = 100;

/// How long clients upload.
const LASTING: Duration = Duration::from_secs(15);

/// A way to run the service.
struct Load<'a> {
    binary: &'a str,
    models: usize,
    /// The time that is added to each request of an S3 server, or `None` for a local bucket.
    delay: Option<Duration>,
    projectors: usize,
}

pub(super) async fn measure(binary: &str, before: &str) -> anyhow::Result<Vec<Line>> {
    let load = |binary, models, delay: Option<u64>, projectors| Load {
        binary,
        models,
        delay: delay.map(Duration::from_millis),
        projectors,
    };
    let (own, peak) = load(binary, LARGE, None, 1).run().await?;
    let (earlier, _) = load(before, LARGE, None, 1).run().await?;
    let (near, _) = load(binary, SMALL, Some(0), 1).run().await?;
    let (far, _) = load(binary, SMALL, Some(30), 1).run().await?;
    let (earlier_far, _) = load(before, SMALL, Some(30), 1).run().await?;
    let (one, _) = load(binary, SMALL, Some(100), 1).run().await?;
    let (four, _) = load(binary, SMALL, Some(100), 4).run().await?;
    Ok(vec![
        line(
            "sustained_vs_before",
            "uploads of 100 models, each slightly changed, until visible; the build before",
            own,
            earlier,
            "/s",
            Goal::AtLeast(2.0),
        ),
        line(
            "sustained_at_30ms",
            "small uploads, 30 ms added to each request of an S3 server; without",
            far,
            near,
            "/s",
            Goal::AtLeast(0.8),
        ),
        line(
            "sustained_at_30ms",
            "the same; the build before",
            far,
            earlier_far,
            "/s",
            Goal::AtLeast(2.5),
        ),
        line(
            "projectors_scale",
            "small uploads at 100 ms with four projectors; with one",
            four,
            one,
            "/s",
            Goal::AtLeast(2.0),
        ),
        Line::alone(
            "memory_of_batches: peak of a projector while clients upload 100 models",
            peak,
            "MiB",
            Goal::AtMost(1.5 * 2.8 + 128.0),
        ),
    ])
}

impl Load<'_> {
    /// Returns the uploads per second until the last one is visible, and the peak memory of a projector in MiB.
    async fn run(&self) -> anyhow::Result<(f64, f64)> {
        let s3 = S3Server::start().await?;
        let mut system = System::start().await;
        if let Some(delay) = self.delay {
            system.variables.extend(s3.variables("bench")?);
            s3.set_delay(delay);
        }
        let installation = Arc::new(Installation::migrated_in(system, self.binary).await);
        let ingest = Arc::new(installation.start("ingest").await?);
        let mut projectors = Vec::new();
        for _ in 0..self.projectors {
            projectors.push(installation.start("projector").await?);
        }
        forget_peak(&projectors[0])?;
        let pattern = Arc::new(Pattern::new(self.models, 1)?);
        let sent = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (pattern, installation, ingest, sent) = (
                Arc::clone(&pattern),
                Arc::clone(&installation),
                Arc::clone(&ingest),
                Arc::clone(&sent),
            );
            clients.spawn(async move {
                while begun.elapsed() < LASTING {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let run = format!("run-{number}");
                    installation.upload(&ingest, &run, pattern.parse(number)).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let sent = i64::try_from(sent.load(Ordering::Relaxed))?;
        until("all uploads are applied", async || {
            let applied = sqlx::query_scalar("SELECT count(DISTINCT event_id) FROM artifacts");
            let applied = applied.fetch_one(&installation.pool).await;
            applied.is_ok_and(|applied: i64| applied == sent)
        })
        .await?;
        let rate = sent as f64 / begun.elapsed().as_secs_f64();
        Ok((rate, peak_mib(&projectors[0])?))
    }
}
