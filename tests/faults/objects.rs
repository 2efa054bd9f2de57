//! A bucket that fails for some objects of a batch.

use bucket::{Bucket, Journal};
use clock::Clock;
use projector::{ApplyError, Outcome, Projector};
use schemas::{Event, EventData};
use testkit::System;
use testkit::s3::S3Server;

use crate::history::pool_of;
use crate::installation::{Installation, newest_manifest, prepare};

/// Three uploads that nothing has applied. The second has a manifest of its own.
struct Uploads {
    server: S3Server,
    installation: Installation,
    projector: Projector,
    events: Vec<Event>,
    /// What the key of the second manifest contains.
    second: String,
}

impl Uploads {
    async fn start() -> Self {
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
            panic!("not an upload")
        };
        Self {
            projector: Projector::new(pool_of(&installation.system), bucket, Clock::System),
            second: second.files[0].sha256.to_string(),
            server,
            installation,
            events,
        }
    }

    /// Applies all uploads while the second manifest cannot be read.
    async fn apply_without_second(&self) {
        let results = self.projector.apply_all(&self.events).await;
        let [
            Ok(Outcome::Applied),
            Err(ApplyError::Unavailable(_)),
            Ok(Outcome::Applied),
        ] = results.as_slice()
        else {
            panic!("{results:?}")
        };
        let begun = "SELECT count(*) FROM attempts WHERE starts > 0";
        assert_eq!(self.installation.count(begun).await, 0);
    }

    async fn apply_second(&self) {
        let results = self.projector.apply_all(&self.events).await;
        assert!(
            matches!(
                results.as_slice(),
                [Ok(Outcome::Known), Ok(Outcome::Applied), Ok(Outcome::Known)]
            ),
            "{results:?}"
        );
        assert_eq!(self.installation.count("SELECT count(*) FROM runs").await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_whose_files_can_be_read_do_not_wait_for_the_others_of_their_batch() {
    let uploads = Uploads::start().await;
    uploads.server.set_unreadable(vec![uploads.second.clone()]);
    uploads.apply_without_second().await;
    uploads.server.set_unreadable(Vec::new());
    uploads.apply_second().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_file_takes_long_is_applied_alone_after_the_others_of_its_batch() {
    let uploads = Uploads::start().await;
    uploads.server.set_silent(vec![uploads.second.clone()]);
    let applying = tokio::spawn({
        let (projector, events) = (uploads.projector.clone(), uploads.events.clone());
        async move { projector.apply_all(&events).await }
    });
    testkit::wait_until("the others are applied", async || {
        let runs = uploads.installation.count("SELECT count(*) FROM runs").await;
        (runs == 2).then_some(())
    })
    .await;
    uploads.server.set_silent(Vec::new());
    let results = applying.await.unwrap();
    assert!(
        results.iter().all(|result| matches!(result, Ok(Outcome::Applied))),
        "{results:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_were_begun_before_do_not_wait_long_for_a_silent_file() {
    let uploads = Uploads::start().await;
    let ids: Vec<_> = uploads.events.iter().map(|event| event.id.0).collect();
    // As if a projector was killed while it applied them.
    let begun = "INSERT INTO attempts (event_id, starts) SELECT id, 1 FROM unnest($1::uuid[]) AS id";
    let pool = pool_of(&uploads.installation.system);
    sqlx::query(begun).bind(&ids).execute(&pool).await.unwrap();
    uploads.server.set_silent(vec![uploads.second.clone()]);
    let results = uploads.projector.apply_all(&uploads.events).await;
    let [
        Ok(Outcome::Applied),
        Err(ApplyError::Unavailable(cause)),
        Ok(Outcome::Applied),
    ] = results.as_slice()
    else {
        panic!("{results:?}")
    };
    // The bucket itself would have been waited for much longer.
    assert!(cause.contains("slow to answer"), "{cause}");
    uploads.server.set_silent(Vec::new());
    uploads.apply_second().await;
}
