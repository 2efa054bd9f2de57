//! The role that applies events to the database.

use clock::Clock;
use projector::Projector;
use service::{Health, Need};
use stream::Stream;

use super::part::{Part, Process};
use crate::health::{bucket_check, database_check, stream_check, writes_check};
use crate::pools::{self, PoolRole};

/// Starts the role. It has no routes.
///
/// # Errors
/// Fails if the settings of NATS cannot be used, or if there is no room for the threads that read manifests.
pub(super) async fn part(process: &Process) -> anyhow::Result<Part> {
    projector::start_threads()?;
    // The projector has its own connection, so that its messages and those of ingest do not wait for each other.
    let stream = Stream::connect(&process.settings.stream).await?;
    let pool = pools::projector(&process.settings.database);
    let health = Health::default()
        .part(
            "database",
            Need::Required,
            database_check(&process.settings.database, &process.bucket, PoolRole::Projector, &pool),
        )
        .part("database_writes", Need::Degrading, writes_check(&pool))
        .part("bucket", Need::Required, bucket_check(&process.bucket))
        .part("stream", Need::Degrading, stream_check(&stream));
    let projector = Projector::new(pool, process.bucket.clone(), Clock::System);
    Ok(Part {
        health,
        tasks: vec![tokio::spawn(projector.run(stream, process.shutdown.clone()))],
        ..Part::default()
    })
}
