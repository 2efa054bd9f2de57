//! Replays, rebuilds and recoveries of a journal.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bucket::{Bucket, Settings};
use chrono::TimeDelta;
use clock::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{Event, EventData, EventId};
use testkit::s3::S3Server;
use testkit::{Database, Service, System, run_command};

use super::line;
use crate::installation::Installation;
use crate::limits::index_rate;
use crate::report::{Goal, Line};
use crate::sustained::Pattern;

const MODELS: usize = 100;

/// The number of events in the journal.
const EVENTS: usize = 20_000;

/// The number of runs that upload the same manifest.
const RUNS_OF_MANIFEST: usize = 20;

/// The number of events in a journal whose manifests are all distinct.
const DISTINCT_EVENTS: usize = 4_000;

/// The number of manifests with which the limit of distinct ones is measured.
const FRAMES: u64 = 500;

/// The earlier build gets one in this many events, because it is slow.
const SHARE_OF_BEFORE: usize = 20;

/// The time that is added to each request of the S3 server.
const DELAY: Duration = Duration::from_millis(30);

const BUCKET: &str = "bench";

/// The number of events that are written at the same time.
const PUTS_AT_ONCE: usize = 16;

pub(super) async fn measure(binary: &str, before: &str) -> anyhow::Result<Vec<Line>> {
    let all = Journal::write(binary, EVENTS, RUNS_OF_MANIFEST).await?;
    let few = Journal::write(binary, EVENTS / SHARE_OF_BEFORE, RUNS_OF_MANIFEST).await?;
    let distinct = Journal::write(binary, DISTINCT_EVENTS, 1).await?;

    let own = all.rebuild_rate(binary).await?;
    let earlier = few.rebuild_rate(before).await?;
    let own_distinct = distinct.rebuild_rate(binary).await?;
    let limit = limit_of_distinct()?;
    let own_far = all.far_rates(binary).await?;
    let earlier_far = few.far_rates(before).await?;
    Ok(vec![
        line(
            "rebuild_vs_before",
            "rebuild of 20,000 events, each manifest of 100 models sent by 20 runs; the build before, of 1,000 events",
            own,
            earlier,
            "events/s",
            Goal::AtLeast(8.0),
        ),
        line(
            "rebuild_distinct",
            "rebuild of 4,000 events, all manifests distinct; unzstd + index + hash of the same bytes on all cores",
            own_distinct,
            limit,
            "events/s",
            Goal::AtLeast(0.7),
        ),
        line(
            "rebuild_at_30ms",
            "rebuild of 20,000 events with 30 ms added to each request of an S3 server; without",
            own_far.rebuild,
            own,
            "events/s",
            Goal::AtLeast(0.8),
        ),
        line(
            "recover_vs_before",
            "recovery of 20,000 events into an empty database at 30 ms; the build before, of 1,000 events",
            own_far.recover,
            earlier_far.recover,
            "events/s",
            Goal::AtLeast(20.0),
        ),
    ])
}

/// A bucket with events that nothing has applied yet.
struct Journal {
    installation: Installation,
    events: usize,
}

/// Events per second, with a bucket that is far away.
struct FarRates {
    recover: f64,
    rebuild: f64,
}

impl Journal {
    /// Writes a journal in which each manifest was uploaded by this many runs.
    async fn write(binary: &str, events: usize, runs_of_manifest: usize) -> anyhow::Result<Self> {
        let installation = Installation::prepare(binary).await;
        let ingest = installation.start("ingest").await?;
        write_events(&installation, &ingest, 0..events, runs_of_manifest).await?;
        drop(ingest);
        Ok(Self { installation, events })
    }

    /// A system with a copy of the journal, and a database that this build made.
    async fn system(&self, binary: &str) -> anyhow::Result<System> {
        let mut system = System::start().await;
        copy(self.installation.storage(), system.storage())?;
        system.database = Database::create_empty().await;
        run_command(binary, &["migrate"], &system);
        Ok(system)
    }

    async fn rebuild_rate(&self, binary: &str) -> anyhow::Result<f64> {
        let system = self.system(binary).await?;
        // The rebuild would have to apply the events that the current read model lacks to it as well.
        run_command(binary, &["replay"], &system);
        self.rate(binary, &["rebuild", "--accept-differences"], &system)
    }

    async fn far_rates(&self, binary: &str) -> anyhow::Result<FarRates> {
        let s3 = S3Server::start().await?;
        let variables = s3.variables(BUCKET)?;
        copy(self.installation.storage(), &s3.folder(BUCKET))?;
        let mut system = System::start().await;
        system.variables.extend(variables);
        // The runs get their numbers, which this build claims in its own way. Then the database is lost.
        system.database = Database::create_empty().await;
        for command in ["migrate", "replay"] {
            tokio::task::block_in_place(|| run_command(binary, &[command], &system));
        }
        system.database = Database::create_empty().await;
        s3.set_delay(DELAY);
        Ok(FarRates {
            recover: self.rate(binary, &["recover"], &system)?,
            rebuild: self.rate(binary, &["rebuild", "--accept-differences"], &system)?,
        })
    }

    fn rate(&self, binary: &str, arguments: &[&str], system: &System) -> anyhow::Result<f64> {
        let begun = Instant::now();
        // Blocking, so that the S3 server in this process needs another thread.
        let done = tokio::task::block_in_place(|| run_command(binary, arguments, system));
        let took = begun.elapsed();
        let applied = done["events"]["applied"].as_u64().context("no events")?;
        ensure!(
            applied >= self.events as u64,
            "{arguments:?} applied {applied} of {} events",
            self.events
        );
        Ok(applied as f64 / took.as_secs_f64())
    }
}

/// Writes an event for each of these runs. Each manifest was uploaded by so many of them.
pub(super) async fn write_events(
    installation: &Installation,
    ingest: &Service,
    runs: Range<usize>,
    runs_of_manifest: usize,
) -> anyhow::Result<()> {
    let pattern = Pattern::new(MODELS, 1)?;
    let bucket = bucket_in(installation.storage())?;
    let begin = Clock::System.now() - TimeDelta::days(2);
    for run in runs.step_by(runs_of_manifest) {
        let manifest = pattern.parse(run as u64);
        let (_, id) = installation.upload(ingest, &format!("run-{run}"), manifest).await?;
        let event = bucket.get_event(bucket::Journal::Uploads, EventId(id)).await?;
        let EventData::ArtifactsUploaded(upload) = event.data()? else {
            anyhow::bail!("the event is not an upload")
        };
        let put = |run: usize| {
            let (bucket, mut upload) = (bucket.clone(), upload.clone());
            upload.run_id = Some(format!("run-{run}"));
            async move {
                let time = begin + TimeDelta::seconds(i64::try_from(run)?);
                let event = Event::new(EventId(Clock::System.new_id(time)), time, &upload.into())?;
                bucket.put_event(&event).await?;
                anyhow::Ok(())
            }
        };
        let others = stream::iter(run + 1..run + runs_of_manifest).map(put);
        others.buffer_unordered(PUTS_AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

/// Returns the distinct manifests per second that all cores could read if there were nothing else to do.
fn limit_of_distinct() -> anyhow::Result<f64> {
    let pattern = Pattern::new(MODELS, 1)?;
    let frames: std::io::Result<Vec<_>> = (0..FRAMES)
        .map(|number| zstd::bulk::compress(&pattern.parse(number), 3))
        .collect();
    index_rate(&frames?)
}

fn bucket_in(folder: &Path) -> anyhow::Result<Bucket> {
    let settings = Settings::Local {
        path: folder.to_path_buf(),
    };
    Ok(Bucket::open(&settings)?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status()?;
    ensure!(status.success(), "cp failed: {status}");
    Ok(())
}
