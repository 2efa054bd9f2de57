//! How fast an hour of the journal is listed and read from a store that is far away.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bucket::{Bucket, Journal};
use chrono::{DateTime, Utc};
use clock::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{AccountId, DeletedFiles, Event, EventId, FileDeleted, ProjectId, TokenId};
use testkit::s3::S3Server;
use uuid::Uuid;

use crate::report::{Goal, Line};

/// The number of events in the hour.
const EVENTS: usize = 10_000;

/// The number of single objects that are read for the comparison.
const SAMPLE: usize = 400;

/// The number of events that a replay read at the same time before there were segments.
const AT_ONCE: usize = 4;

/// What the distance adds to each request.
const DELAY: Duration = Duration::from_millis(30);

/// Measures the rate of listing and reading, from single objects and from a segment.
pub(crate) async fn measure() -> anyhow::Result<Vec<Line>> {
    let server = S3Server::start().await?;
    let hour: DateTime<Utc> = "2026-11-01T10:00:00Z".parse()?;
    let open = || Ok::<_, anyhow::Error>(Bucket::open(&server.settings("artifacts")?)?);
    let bucket = open()?;
    stream::iter(0..EVENTS)
        .map(|_| async {
            let data = FileDeleted {
                account_id: AccountId(1),
                project_id: ProjectId(1),
                environment_id: None,
                files: DeletedFiles::Tag("latest-state".to_owned()),
                deleted_by: TokenId(Uuid::nil()),
            };
            let id = EventId(Clock::Fixed(hour).new_id(hour));
            bucket.put_event(&Event::new(id, hour, &data.into())?).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;

    let before = bucket.list_events_of_hour(hour).await?;
    server.set_delay(DELAY);
    let begun = Instant::now();
    bucket.list_events_of_hour(hour).await?;
    let listing = begun.elapsed();
    let begun = Instant::now();
    stream::iter(before.iter().copied().take(SAMPLE))
        .map(|id| bucket.get_event(Journal::Uploads, id))
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await?;
    let reading = begun.elapsed() * u32::try_from(EVENTS / SAMPLE)?;
    let single = EVENTS as f64 / (listing + reading).as_secs_f64();
    server.set_delay(Duration::ZERO);

    let after = hour + chrono::TimeDelta::days(1);
    let mut lines = Vec::new();
    for (what, is_trimmed) in [("packed", false), ("packed and trimmed", true)] {
        if is_trimmed {
            bucket.trim(after, true, &|_, _| {}).await?;
        } else {
            bucket.pack(after, &|_, _| {}).await?;
        }
        server.set_delay(DELAY);
        let bucket = open()?;
        let begun = Instant::now();
        let ids = bucket.list_events_of_hour(hour).await?;
        let read: Vec<_> = bucket.read_events(Journal::Uploads, ids).collect().await;
        let rate = read.len() as f64 / begun.elapsed().as_secs_f64();
        server.set_delay(Duration::ZERO);
        let same = read.iter().map(|(id, _)| *id).eq(before.iter().copied());
        ensure!(
            same && read.iter().all(|(_, event)| event.is_ok()),
            "not all events were read"
        );
        lines.push(Line::beside(
            format!("listing and reading a {what} hour of {EVENTS} events, each request 30 ms away; single objects, {AT_ONCE} at a time"),
            rate,
            "events/s",
            single,
            Goal::AtLeast(100.0),
        )
        .named(if is_trimmed { "trimmed_segments" } else { "segments" }));
    }
    Ok(lines)
}
