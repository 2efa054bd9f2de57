//! The role that accepts uploads, keeps the directory in memory, and observes Airflow.

use clock::Clock;
use directory::datacoves::Source;
use ingest::{Datacoves, Directory, Ingest, Observer, Parts};
use service::{Health, Need};
use sqlx::PgPool;
use stream::{Announcer, Stream};

use super::part::{OperatorParts, Part, Process};
use crate::health::{bucket_check, database_check, directory_check, stream_check};
use crate::pools::{self, PoolRole};

/// Starts the role.
///
/// # Errors
/// Fails if the settings of NATS or of Airflow cannot be used.
pub(super) async fn part(process: &Process) -> anyhow::Result<Part> {
    let settings = &process.settings;
    let stream = Stream::connect(&settings.stream).await?;
    let pool = pools::ingest(&settings.database, &process.deleted_tokens);
    let datacoves = datacoves(process);
    let directory = Directory::new(
        pool.clone(),
        process.bucket.clone(),
        process.deleted_tokens.clone(),
        Clock::System,
        process.verifier.clone(),
        datacoves.clone(),
    );
    let mut part = Part {
        health: health(process, &stream, &pool, &directory, datacoves),
        ..Part::default()
    };
    let keeping = directory.clone();
    let shutdown = process.shutdown.clone();
    part.tasks
        .push(tokio::spawn(async move { keeping.run(shutdown).await }));
    let announcer = Announcer::new(stream);
    let announcing = announcer.clone().run(process.shutdown.clone());
    part.tasks.push(tokio::spawn(announcing));
    part.last.push(Box::pin(announcer.clone().finish()));
    if !settings.airflow.environments.is_empty() {
        let parts = Parts {
            pool: pool.clone(),
            bucket: process.bucket.clone(),
            announcer: announcer.clone(),
            directory: directory.clone(),
            clock: Clock::System,
        };
        let observer = Observer::new(parts, &settings.airflow)?;
        part.health = part.health.part("airflow", Need::Degrading, observer.check());
        part.tasks.push(tokio::spawn(observer.run(process.shutdown.clone())));
    }
    part.operator_parts = Some(OperatorParts {
        directory: directory.clone(),
        announcer: announcer.clone(),
    });
    let ingest = Ingest::new(
        settings.ingest.clone(),
        process.bucket.clone(),
        announcer,
        directory,
        pool,
        Clock::System,
        &settings.public_url(),
    );
    let refusals = ingest.refusals();
    let shutdown = process.shutdown.clone();
    let keeping = refusals.clone();
    part.tasks
        .push(tokio::spawn(async move { keeping.run(shutdown).await }));
    part.refusals = Some(refusals.clone());
    part.last.push(Box::pin(async move { refusals.finish().await }));
    let (routes, document) = ingest::router(ingest).split_for_parts();
    part.routes = routes;
    part.document = Some(document);
    Ok(part)
}

/// Prepares the synchronization of the directory with Datacoves' database, if one is configured.
fn datacoves(process: &Process) -> Option<Datacoves> {
    let settings = &process.settings;
    let source = Source::new(settings.datacoves.as_ref()?.foreign_pool(), settings.queries.clone());
    let pool = pools::datacoves(&settings.database);
    Some(Datacoves::new(source, pool, process.bucket.clone(), Clock::System))
}

fn health(
    process: &Process,
    stream: &Stream,
    pool: &PgPool,
    directory: &Directory,
    datacoves: Option<Datacoves>,
) -> Health {
    let health = process
        .with_verifier(Health::default())
        .part("bucket", Need::Required, bucket_check(&process.bucket))
        .part("directory", Need::Required, directory_check(directory))
        .part(
            "database",
            Need::Degrading,
            database_check(&process.settings.database, &process.bucket, PoolRole::Ingest, pool),
        )
        .part("stream", Need::Degrading, stream_check(stream));
    match datacoves {
        Some(datacoves) => health.part("datacoves", Need::Degrading, move || {
            std::future::ready(datacoves.check())
        }),
        None => health,
    }
}
