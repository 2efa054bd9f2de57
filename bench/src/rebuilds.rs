//! A rebuild from the bucket, compared with one worker that applies the same events.

use std::time::Instant;

use anyhow::ensure;
use bucket::{Bucket, Settings};
use clock::Clock;
use projector::{Outcome, Projector};
use testkit::{Database, run_command};

use crate::installation::Installation;
use crate::report::{Goal, Line};
use crate::sustained::Pattern;

const MODELS: usize = 100;

const EVENTS: u64 = 600;

/// The number of events that one worker applies.
const OF_ONE: usize = 300;

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let pattern = Pattern::new(MODELS, 0)?;
    for number in 0..EVENTS {
        let run = format!("run-{number}");
        let (_, event) = installation.upload(&serve, &run, pattern.parse(number)).await?;
        // The current read model has the events, too. Otherwise the rebuild would have to apply them to it as well.
        installation.visible(event).await?;
    }
    drop(serve);

    let database = Database::create().await;
    let settings = Settings::Local {
        path: installation.storage().to_path_buf(),
    };
    let bucket = Bucket::open(&settings)?;
    let projector = Projector::new(database.pool("dbt_api_projector"), bucket.clone(), Clock::System);
    for id in bucket.list_directory_events().await? {
        let event = bucket.get_event(bucket::Journal::Directory, id).await?;
        ensure!(
            projector.apply(&event).await? == Outcome::Applied,
            "a directory event was not applied"
        );
    }
    let mut rates = Vec::new();
    let ids = bucket.list_upload_events().await?;
    // The first events are a warm-up.
    for part in ids.chunks(OF_ONE).take(2) {
        let begun = Instant::now();
        for id in part {
            let event = bucket.get_event(bucket::Journal::Uploads, *id).await?;
            ensure!(
                projector.apply(&event).await? == Outcome::Applied,
                "an event was not applied"
            );
        }
        rates.push(part.len() as f64 / begun.elapsed().as_secs_f64());
    }
    let one = rates.pop().unwrap_or(f64::NAN);
    drop(projector);

    let begun = Instant::now();
    let rebuilt = run_command(binary, &["rebuild", "--accept-differences"], &installation.system);
    let rate = EVENTS as f64 / begun.elapsed().as_secs_f64();
    ensure!(
        rebuilt["in_place"] == true,
        "the rebuild did not replace the read model: {rebuilt}"
    );
    Ok(vec![
        Line::beside(
            "rebuild of repeated manifests of 100 models; one worker, warm",
            rate,
            "events/s",
            one,
            Goal::AtLeast(1.7),
        ),
        Line::alone(
            "events rebuilt per minute",
            rate * 60.0,
            "events",
            Goal::AtLeast(5_000.0),
        ),
    ])
}
