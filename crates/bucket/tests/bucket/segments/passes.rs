//! Tests of who packs which hours when.

use bucket::{Bucket, Packed};
use chrono::TimeDelta;

use super::{assert_readable, files_of, pack, put};
use crate::journal::{at, upload};
use crate::stores::{local, open_folder, s3};

#[tokio::test]
async fn what_another_process_packed_is_not_looked_at_again_for_a_month() {
    let (folder, bucket) = local();
    let mut events = [put(&bucket, 16, 0..2).await, put(&bucket, 17, 0..3).await].concat();
    let pack_new = async |after: TimeDelta| {
        let another = open_folder(folder.path()).unwrap();
        another.pack_new(at(17, 30) + after).await.unwrap().events
    };
    assert_eq!(pack_new(TimeDelta::zero()).await, 2);
    assert_eq!(pack_new(TimeDelta::zero()).await, 0);
    assert_eq!(pack_new(TimeDelta::hours(1)).await, 3);

    // A late event of a day that is done.
    let late = upload(at(0, 30) - TimeDelta::days(3));
    bucket.put_event(&late).await.unwrap();
    events.insert(0, late);
    assert_eq!(pack_new(TimeDelta::days(29)).await, 0);
    assert_eq!(pack_new(TimeDelta::days(30)).await, 1);
    assert_eq!(pack_new(TimeDelta::days(31)).await, 0);
    assert_readable(&bucket, &events).await;
}

#[tokio::test]
async fn losing_what_was_packed_costs_only_another_look() {
    let (folder, bucket) = local();
    put(&bucket, 16, 0..2).await;
    assert_eq!(bucket.pack_new(at(17, 0)).await.unwrap().events, 2);
    let [memory] = files_of(folder.path(), "segments", "packed.json").try_into().unwrap();
    put(&bucket, 16, 5..6).await;
    std::fs::write(&memory, "damaged").unwrap();
    assert_eq!(bucket.pack_new(at(17, 0)).await.unwrap().events, 1);
    put(&bucket, 16, 6..7).await;
    std::fs::remove_file(&memory).unwrap();
    assert_eq!(bucket.pack_new(at(17, 0)).await.unwrap().events, 1);
}

#[tokio::test]
async fn an_hour_with_several_segments_is_not_read_again() {
    let (server, bucket) = s3().await;
    let requests = async || {
        let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
        let before = server.requests();
        assert_eq!(pack(&bucket, at(18, 0)).await, Packed::default());
        server.requests() - before
    };
    put(&bucket, 17, 10..15).await;
    pack(&bucket, at(18, 0)).await;
    let with_one = requests().await;
    put(&bucket, 17, 20..25).await;
    pack(&bucket, at(18, 0)).await;
    assert_eq!(requests().await, with_one);
}
