//! The role that answers reads.

use std::sync::Arc;

use api::{ContentMemory, State, TokenUse, TrimmedManifests};
use clock::Clock;
use edge::RateLimit;
use service::{Health, Need};

use super::part::{Part, Process};
use crate::health::{bucket_check, database_check};
use crate::pools::{self, PoolRole};

/// Returns the role. It requires PostgreSQL, and needs the bucket only for the content of artifacts and files.
pub(super) fn part(process: &Process) -> Part {
    let check = pools::reader_check(&process.settings.database);
    let health = Health::default()
        .part(
            "database",
            Need::Required,
            database_check(&process.settings.database, PoolRole::Reader, &check),
        )
        .part("bucket", Need::Degrading, bucket_check(&process.bucket));
    let (routes, document) = api::router(state(process, pools::READER_CONNECTIONS)).split_for_parts();
    Part {
        routes,
        document: Some(document),
        health: process.with_verifier(health),
        tasks: Vec::new(),
    }
}

/// The reads of uploaders, for a process that runs ingest without this role.
pub(super) fn uploaders_part(process: &Process) -> Part {
    let (routes, document) =
        api::uploader_routes(state(process, pools::UPLOADERS_READER_CONNECTIONS)).split_for_parts();
    Part {
        routes,
        document: Some(document),
        ..Part::default()
    }
}

fn state(process: &Process, connections: usize) -> State {
    let settings = &process.settings;
    State {
        pool: pools::reader(&settings.database, connections),
        bucket: process.bucket.clone(),
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
