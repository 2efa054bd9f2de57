//! The role that answers reads.

use std::future::ready;
use std::sync::Arc;

use api::{ContentMemory, State, TokenUse, TrimmedManifests};
use clock::Clock;
use edge::{RateLimit, Shield};
use service::{Health, Need, Reads};
use tokio::task::JoinHandle;

use super::part::{Part, Process};
use crate::health::{bucket_check, database_check};
use crate::pools::{self, PoolRole};

/// Returns the role. It requires PostgreSQL, and needs the bucket only for the content of artifacts and files.
pub(super) fn part(process: &Process) -> Part {
    let settings = &process.settings;
    let reads = pools::reads(&settings.database, settings.replica.as_ref());
    let check = pools::reader_check(&settings.database);
    let check = database_check(&settings.database, &process.bucket, PoolRole::Reader, &check);
    let health = match reads.check() {
        None => Health::default().part("database", Need::Required, check),
        Some(replica) => {
            // One of both is enough to read.
            let (replica, either) = (Arc::new(replica), Arc::new(check));
            let database = Arc::clone(&either);
            let of_replica = Arc::clone(&replica);
            Health::default()
                .part("reads", Need::Required, move || {
                    let (database, replica) = (either(), replica());
                    async move {
                        match replica {
                            Ok(()) => Ok(()),
                            Err(_) => database.await,
                        }
                    }
                })
                .part("database", Need::Degrading, move || database())
                .part("replica", Need::Degrading, move || ready(of_replica()))
        }
    };
    let health = health.part("bucket", Need::Degrading, bucket_check(&process.bucket));
    let tasks = watch(process, &reads).into_iter().collect();
    let state = state(process, reads);
    let (routes, document) = api::router(state.clone()).split_for_parts();
    Part {
        routes,
        reads: Some(state),
        document: Some(document),
        refusals: None,
        health: process.with_verifier(health),
        tasks,
        ..Part::default()
    }
}

/// Watches how far the servers that are read instead of the primary are behind, if there are some.
fn watch(process: &Process, reads: &Reads) -> Option<JoinHandle<()>> {
    let settings = &process.settings;
    let replica = settings.replica.clone()?.database;
    tokio::spawn(replica.clone().follow(process.shutdown.clone()));
    let watching = reads
        .clone()
        .watch(settings.database.clone(), replica, process.shutdown.clone());
    Some(tokio::spawn(watching))
}

/// The reads of uploaders, for a process that runs ingest without this role.
pub(super) fn uploaders_part(process: &Process) -> Part {
    let pool = pools::reader(&process.settings.database, pools::UPLOADERS_READER_CONNECTIONS);
    let state = state(process, Reads::of_primary(pool));
    let (routes, document) = api::uploader_routes(state.clone()).split_for_parts();
    Part {
        routes,
        reads: Some(state),
        document: Some(document),
        ..Part::default()
    }
}

fn state(process: &Process, reads: Reads) -> State {
    let settings = &process.settings;
    State {
        // A read holds its connection until it is answered, a download only at its beginning.
        reading: Shield::new("reads", reads.primary().size()),
        reads,
        bucket: process.bucket.clone(),
        deleted_tokens: process.deleted_tokens.clone(),
        public_url: settings.public_url(),
        clock: Clock::System,
        signer: Arc::default(),
        verifier: process.verifier.clone(),
        rate: Arc::new(RateLimit::per_minute(settings.api.requests_per_minute)),
        contents: ContentMemory::default(),
        trimmed_manifests: TrimmedManifests::new(settings.ingest.spool_dir.clone()),
        token_use: TokenUse::default(),
        discovery: discovery::Discovery::default(),
    }
}
