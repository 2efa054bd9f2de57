//! Packing the journal in the background.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use bucket::{Bucket, PACKED_AFTER, Settings};
use chrono::TimeDelta;
use clock::Clock;
use projector::Projector;
use testkit::{Database, deletion};

#[tokio::test(flavor = "multi_thread")]
async fn one_projector_at_a_time_packs_the_hours_that_are_old_enough() {
    let database = Database::create().await;
    let storage = tempfile::tempdir().unwrap();
    let settings = Settings::Local {
        path: storage.path().to_owned(),
    };
    let bucket = Bucket::open(&settings).unwrap();
    let now = Clock::System.now();
    for age in [PACKED_AFTER + TimeDelta::hours(1), PACKED_AFTER - TimeDelta::hours(1)] {
        bucket.put_event(&deletion(now - age)).await.unwrap();
    }
    let pool = database.pool("dbt_api_projector");
    let projector = Projector::new(pool.clone(), bucket, Clock::System);

    let mut other = pool.begin().await.unwrap();
    assert!(read_model::pack::lock_packing(&mut other).await.unwrap());
    assert_eq!(projector.pack().await.unwrap(), None);
    other.rollback().await.unwrap();
    for events in [1, 0] {
        let packed = projector.pack().await.unwrap().unwrap();
        assert_eq!((packed.events, packed.segments), (events, events));
    }
}
