//! Many clients that upload at the same time, each upload a new run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bucket::{Bucket, ClaimKind};
use bytes::Bytes;
use serde_json::json;
use testkit::System;
use testkit::s3::S3Server;

use super::line;
use crate::installation::{Installation, forget_peak, peak_mib, percentile, until};
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};
use crate::sustained::Pattern;

const CLIENTS: usize = 32;

/// Small manifests, of which the project's own overhead is measured.
const SMALL: usize = 1;

const LARGE: usize = 100;

/// The models of a manifest that few projects reach.
const HUGE: usize = 20_000;

/// The number of uploads whose latency is measured.
const SINGLE_UPLOADS: u64 = 200;

/// How long clients upload.
const LASTING: Duration = Duration::from_secs(15);

/// How long the S3 server is measured alone.
const LASTING_OF_S3: Duration = Duration::from_secs(5);

/// A way to run the service.
struct Load<'a> {
    binary: &'a str,
    models: usize,
    /// The time that is added to each request of an S3 server, or `None` for a local bucket.
    delay: Option<Duration>,
    projectors: usize,
    /// A manifest that is uploaded first.
    huge: Option<Bytes>,
}

/// What a load reached.
struct Reached {
    /// Uploads per second until the last one is visible.
    uploads: f64,
    /// Requests to the S3 server per second.
    s3_requests: f64,
    /// The peak memory of a projector in MiB.
    peak: f64,
}

pub(super) async fn measure(binary: &str, before: &str) -> anyhow::Result<Vec<Line>> {
    let load = |binary, models, delay: Option<u64>, projectors| Load {
        binary,
        models,
        delay: delay.map(Duration::from_millis),
        projectors,
        huge: None,
    };
    let own = load(binary, LARGE, None, 1).run().await?.uploads;
    let earlier = load(before, LARGE, None, 1).run().await?.uploads;
    let huge = Bytes::from(Project::new(HUGE)?.manifest(Parse { number: 0, changed: 0 })?);
    let largest = huge.len() as f64 / f64::from(1 << 20);
    let with_huge = Load {
        huge: Some(huge),
        ..load(binary, LARGE, None, 1)
    };
    let peak = with_huge.run().await?.peak;
    let near = load(binary, SMALL, Some(0), 1).run().await?;
    let far = load(binary, SMALL, Some(30), 1).run().await?.uploads;
    let earlier_far = load(before, SMALL, Some(30), 1).run().await?.uploads;
    let one = load(binary, SMALL, Some(100), 1).run().await?.uploads;
    let four = load(binary, SMALL, Some(100), 4).run().await?.uploads;
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
            near.uploads,
            "/s",
            Goal::AtLeast(0.8),
        ),
        line(
            "sustained_at_30ms_vs_before",
            "small uploads, 30 ms added to each request of an S3 server; the build before",
            far,
            earlier_far,
            "/s",
            Goal::AtLeast(2.5),
        ),
        line(
            "s3_server",
            "objects that this S3 server creates for 32 clients if nothing else runs; all requests of the uploads without delay",
            s3_rate().await?,
            near.s3_requests,
            "/s",
            Goal::AtLeast(1.0),
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
            format!("peak memory of a projector under full load, the largest manifest has {largest:.0} MiB"),
            peak,
            "MiB",
            Goal::AtMost((1.5 * largest + 128.0).round()),
        )
        .named("memory_of_batches"),
        line(
            "latency_vs_before",
            "from 201 to visible for a small manifest on an idle system, p99; the build before",
            latency(binary).await?,
            latency(before).await?,
            "ms",
            Goal::AtMost(1.1),
        ),
    ])
}

/// Returns how many small objects the S3 server creates per second.
async fn s3_rate() -> anyhow::Result<f64> {
    let s3 = S3Server::start().await?;
    let bucket = Bucket::open(&s3.settings("bench")?)?;
    let (begun_claims, created) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let bucket = bucket.clone();
        let (begun_claims, created) = (Arc::clone(&begun_claims), Arc::clone(&created));
        clients.spawn(async move {
            while begun.elapsed() < LASTING_OF_S3 {
                let number = begun_claims.fetch_add(1, Ordering::Relaxed);
                bucket
                    .claim(ClaimKind::Account, number, &json!({ "slug": number }))
                    .await?;
                created.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(created.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

/// Returns the 99th percentile of the time from the answer to an upload until it is visible, in milliseconds.
async fn latency(binary: &str) -> anyhow::Result<f64> {
    let installation = Installation::migrated_by(binary).await;
    let serve = installation.start("serve").await?;
    let pattern = Pattern::new(SMALL, 1)?;
    let mut latencies = Vec::new();
    for number in 0..SINGLE_UPLOADS {
        let manifest = pattern.parse(number);
        let (_, event) = installation.upload(&serve, &format!("run-{number}"), manifest).await?;
        latencies.push(installation.visible(event).await?.as_secs_f64() * 1000.0);
    }
    Ok(percentile(latencies, 99.0))
}

impl Load<'_> {
    async fn run(&self) -> anyhow::Result<Reached> {
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
        if let Some(manifest) = &self.huge {
            installation.upload(&ingest, "huge", manifest.clone()).await?;
        }
        let sent = Arc::new(AtomicU64::new(0));
        let (requests, begun) = (s3.requests(), Instant::now());
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
        let sent = i64::try_from(sent.load(Ordering::Relaxed))? + i64::from(self.huge.is_some());
        until("all uploads are applied", async || {
            let applied = sqlx::query_scalar("SELECT count(DISTINCT event_id) FROM artifacts");
            let applied = applied.fetch_one(&installation.pool).await;
            applied.is_ok_and(|applied: i64| applied == sent)
        })
        .await?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Reached {
            uploads: sent as f64 / seconds,
            s3_requests: (s3.requests() - requests) as f64 / seconds,
            peak: peak_mib(&projectors[0])?,
        })
    }
}
