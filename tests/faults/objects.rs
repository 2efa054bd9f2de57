//! A bucket that fails for some objects of a batch.

use bucket::{Bucket, Journal};
use clock::Clock;
use projector::{ApplyError, Outcome, Projector};
use schemas::{Event, EventData};
use testkit::System;
use testkit::s3::S3Server;

use crate::history::pool_of;
use crate::installation::{Installation, newest_manifest, prepare};

#[tokio::test(flavor = "multi_thread")]
async fn uploads_whose_files_can_be_read_do_not_wait_for_the_others_of_their_batch() {
    let server = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables.extend(server.variables("artifacts").unwrap());
    let installation = Installation::of(prepare(system), "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let other = br#"{"metadata":{},"nodes":{},"macros":{}}"#.to_vec();
    for (run, manifest) in [
        ("first", newest_manifest()),
        ("second", other),
        ("third", newest_manifest()),
    ] {
        installation.upload_manifest(&token, run, manifest).await;
    }
    let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
    let mut events: Vec<Event> = Vec::new();
    for id in bucket.list_upload_events().await.unwrap() {
        events.push(bucket.get_event(Journal::Uploads, id).await.unwrap());
    }
    let Ok(EventData::ArtifactsUploaded(second)) = events[1].data() else {
        panic!("no upload")
    };
    let projector = Projector::new(pool_of(&installation.system), bucket, Clock::System);

    server.set_unreadable(vec![second.files[0].sha256.to_string()]);
    let results = projector.apply_all(&events).await;
    assert!(
        matches!(
            results.as_slice(),
            [
                Ok(Outcome::Applied),
                Err(ApplyError::Unavailable(_)),
                Ok(Outcome::Applied)
            ]
        ),
        "{results:?}"
    );
    assert_eq!(
        installation
            .count("SELECT count(*) FROM attempts WHERE starts > 0")
            .await,
        0
    );
    server.set_unreadable(Vec::new());
    let results = projector.apply_all(&events).await;
    assert!(
        matches!(
            results.as_slice(),
            [Ok(Outcome::Known), Ok(Outcome::Applied), Ok(Outcome::Known)]
        ),
        "{results:?}"
    );
    assert_eq!(installation.count("SELECT count(*) FROM runs").await, 3);
}
