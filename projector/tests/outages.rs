//! A bucket that fails for some of the objects of a batch.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use bucket::Bucket;
use chrono::TimeDelta;
use clock::Clock;
use projector::{ApplyError, Outcome, Projector, Selection};
use schemas::Event;
use sqlx::PgPool;
use testkit::s3::S3Server;
use testkit::{Database, deletion, wait_until};

/// A database, and a bucket whose journal contains deletions of files.
struct Setup {
    database: Database,
    server: S3Server,
    bucket: Bucket,
    events: Vec<Event>,
}

impl Setup {
    async fn with_events(count: i64) -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
        let mut events = Vec::new();
        for number in 0..count {
            let time = Clock::System.now() - TimeDelta::hours(3) + TimeDelta::minutes(number);
            let event = deletion(time);
            bucket.put_event(&event).await.unwrap();
            events.push(event);
        }
        let database = Database::create().await;
        Self {
            database,
            server,
            bucket,
            events,
        }
    }

    fn pool(&self) -> PgPool {
        self.database.pool("dbt_api_projector")
    }

    fn projector(&self) -> Projector {
        Projector::new(self.pool(), self.bucket.clone(), Clock::System)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_read_are_tried_again_after_the_others() {
    let setup = Setup::with_events(10).await;
    let keys: Vec<String> = setup.events[3..5].iter().map(|event| event.id.to_string()).collect();
    setup.server.set_unreadable(keys);
    let done = AtomicU64::new(0);
    let (projector, pool) = (setup.projector(), setup.pool());
    let selection = Selection::default();
    let progress = |events, _| done.store(events, Ordering::Relaxed);
    let replay = projector.replay(&selection, false, &progress);
    let repair = async {
        wait_until("the others are applied", async || {
            let applied = "SELECT count(*) FROM ledger";
            let applied: i64 = sqlx::query_scalar(applied).fetch_one(&pool).await.unwrap();
            (applied == 8 && done.load(Ordering::Relaxed) == 8).then_some(())
        })
        .await;
        setup.server.set_unreadable(Vec::new());
    };
    let (outcomes, ()) = tokio::join!(replay, repair);
    let outcomes = outcomes.unwrap();
    assert_eq!((outcomes.applied, outcomes.unreadable), (10, 0), "{outcomes:?}");
    assert_eq!(done.load(Ordering::Relaxed), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_stay_unreadable_are_reported_at_the_end() {
    let setup = Setup::with_events(5).await;
    setup.server.set_unreadable(vec![setup.events[0].id.to_string()]);
    let replay = setup.projector().replay(&Selection::default(), false, &|_, _| {}).await;
    let Err(ApplyError::Unavailable(cause)) = replay else {
        panic!("{replay:?}");
    };
    assert!(cause.contains("could not be applied in 10 attempts: 1;"), "{cause}");
    let applied = setup.projector().apply_all(&setup.events[1..]).await;
    assert!(
        applied.iter().all(|result| *result.as_ref().unwrap() == Outcome::Known),
        "{applied:?}"
    );
}
