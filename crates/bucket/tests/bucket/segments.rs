//! Tests that events are found and read whether they are single objects, in segments or both.

mod damage;
mod passes;
mod recorded;

use std::path::{Path, PathBuf};

use bucket::{Bucket, Journal, Packed, Part, Trimmed};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt};
use schemas::{Event, EventId};

use crate::journal::{at, upload};
use crate::layout::files;
use crate::stores::{local, on_each_store, open_folder, s3};

on_each_store!(
    packing_changes_nothing_for_readers,
    hours_that_have_not_ended_are_not_packed,
    a_late_event_gets_a_segment_of_its_own,
    two_packers_at_once_do_no_harm,
    trimmed_events_are_found_and_read,
    an_event_that_is_not_packed_is_not_trimmed,
    trimming_only_counts_unless_deleting_is_asked_for,
    events_are_read_in_the_given_order,
);

pub(crate) async fn put(bucket: &Bucket, hour: u32, minutes: std::ops::Range<u32>) -> Vec<Event> {
    let mut events: Vec<Event> = minutes.map(|minute| upload(at(hour, minute))).collect();
    events.sort_by_key(|event| event.id);
    for event in &events {
        bucket.put_event(event).await.unwrap();
    }
    events
}

pub(crate) async fn pack(bucket: &Bucket, before: DateTime<Utc>) -> Packed {
    bucket.pack(before, &|_, _| {}).await.unwrap()
}

pub(crate) async fn trim(bucket: &Bucket, before: DateTime<Utc>) -> Trimmed {
    bucket.trim(before, true, &|_, _| {}).await.unwrap()
}

fn packed(segments: u64, events: u64) -> Packed {
    Packed {
        segments,
        events,
        unreadable: 0,
    }
}

fn trimmed(deleted: u64) -> Trimmed {
    Trimmed {
        deleted,
        ..Trimmed::default()
    }
}

/// Checks that every way to list and read events finds exactly these, which are in ascending order of their ids.
pub(crate) async fn assert_readable(bucket: &Bucket, events: &[Event]) {
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(bucket.list_upload_events().await.unwrap(), ids);

    let mut hours = bucket.hours_back(None, None);
    let mut back: Vec<EventId> = Vec::new();
    while let Some((hour, of_hour)) = hours.next().await.unwrap() {
        assert_eq!(bucket.list_events_of_hour(hour).await.unwrap(), of_hour);
        back.splice(0..0, of_hour);
    }
    assert_eq!(back, ids);
    let first = ids.first().and_then(|id| bucket::made_at(*id));
    let first_hour = bucket.first_hour().await.unwrap();
    assert_eq!(
        first_hour.map(|hour| hour.timestamp() / 3600),
        first.map(|time| time.timestamp() / 3600)
    );

    let (first, last) = (ids.first().copied(), ids.last().copied());
    if let (Some(from), Some(to)) = (first.and_then(bucket::made_at), last.and_then(bucket::made_at)) {
        let hours: Vec<Vec<EventId>> = bucket.events_of_hours(from, to).try_collect().await.unwrap();
        assert_eq!(hours.concat(), ids);
        // The last hour without its day.
        let parts: Vec<Part> = bucket.upload_events(Some(to), Some(to)).try_collect().await.unwrap();
        let of_hour: Vec<EventId> = parts.into_iter().flat_map(|part| part.ids).collect();
        assert_eq!(of_hour, bucket.list_events_of_hour(to).await.unwrap());
    }

    let read: Vec<_> = bucket.read_events(Journal::Uploads, ids).collect().await;
    assert_eq!(read.len(), events.len());
    for (event, (id, read)) in events.iter().zip(read) {
        assert_eq!(id, event.id);
        let json = event.to_json().unwrap();
        assert_eq!(read.unwrap().to_json().unwrap(), json);
        let single = bucket.get_event(Journal::Uploads, event.id).await.unwrap();
        assert_eq!(single.to_json().unwrap(), json);
    }
}

async fn packing_changes_nothing_for_readers(bucket: &Bucket) {
    let events = [put(bucket, 16, 0..3).await, put(bucket, 17, 0..12).await].concat();
    assert_readable(bucket, &events).await;
    assert_eq!(pack(bucket, at(18, 0)).await, packed(2, 15));
    assert_readable(bucket, &events).await;
    assert_eq!(pack(bucket, at(18, 0)).await, packed(0, 0));
    assert_readable(bucket, &events).await;
}

async fn hours_that_have_not_ended_are_not_packed(bucket: &Bucket) {
    let events = [put(bucket, 16, 0..1).await, put(bucket, 17, 0..1).await].concat();
    assert_eq!(pack(bucket, at(16, 59)).await, packed(0, 0));
    assert_eq!(pack(bucket, at(17, 59)).await, packed(1, 1));
    assert_eq!(trim(bucket, at(16, 59)).await, trimmed(0));
    let long_ago = at(0, 0) - TimeDelta::days(400);
    assert_eq!(trim(bucket, long_ago).await, trimmed(0));
    assert_readable(bucket, &events).await;
}

async fn a_late_event_gets_a_segment_of_its_own(bucket: &Bucket) {
    let mut events = put(bucket, 17, 10..20).await;
    assert_eq!(pack(bucket, at(18, 0)).await, packed(1, 10));
    for minutes in [5..6, 30..31] {
        events.extend(put(bucket, 17, minutes).await);
        events.sort_by_key(|event| event.id);
        assert_readable(bucket, &events).await;
        assert_eq!(pack(bucket, at(18, 0)).await, packed(1, 1));
        assert_readable(bucket, &events).await;
        assert_eq!(pack(bucket, at(18, 0)).await, packed(0, 0));
    }
}

async fn two_packers_at_once_do_no_harm(bucket: &Bucket) {
    let events = put(bucket, 17, 0..20).await;
    let (one, other) = tokio::join!(pack(bucket, at(18, 0)), pack(bucket, at(18, 0)));
    assert_eq!(one.events + other.events, 20, "{one:?} {other:?}");
    assert_eq!(pack(bucket, at(18, 0)).await, packed(0, 0));
    assert_readable(bucket, &events).await;
    let (one, other) = tokio::join!(trim(bucket, at(18, 0)), trim(bucket, at(18, 0)));
    assert_eq!((one.different, other.different), (0, 0));
    assert_readable(bucket, &events).await;
}

async fn trimmed_events_are_found_and_read(bucket: &Bucket) {
    let mut events = [put(bucket, 15, 0..2).await, put(bucket, 16, 0..20).await].concat();
    pack(bucket, at(18, 0)).await;
    assert_eq!(trim(bucket, at(18, 0)).await, trimmed(22));
    assert_readable(bucket, &events).await;

    // A late event of a trimmed hour, and one of an hour without segments.
    events.extend(put(bucket, 16, 30..31).await);
    events.extend(put(bucket, 17, 0..1).await);
    assert_readable(bucket, &events).await;
    assert_eq!(pack(bucket, at(18, 0)).await, packed(2, 2));
    assert_readable(bucket, &events).await;
    assert_eq!(trim(bucket, at(18, 0)).await, trimmed(2));
    assert_readable(bucket, &events).await;
    assert_eq!(pack(bucket, at(18, 0)).await, packed(0, 0));
    assert_eq!(trim(bucket, at(18, 0)).await, trimmed(0));

    let missing = upload(at(16, 45)).id;
    assert!(
        bucket
            .get_event(Journal::Uploads, missing)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

async fn an_event_that_is_not_packed_is_not_trimmed(bucket: &Bucket) {
    let mut events = put(bucket, 17, 0..5).await;
    pack(bucket, at(18, 0)).await;
    events.extend(put(bucket, 17, 5..8).await);
    let result = trim(bucket, at(18, 0)).await;
    assert_eq!((result.deleted, result.not_packed), (5, 3));
    assert_readable(bucket, &events).await;
}

async fn trimming_only_counts_unless_deleting_is_asked_for(bucket: &Bucket) {
    let events = put(bucket, 17, 0..5).await;
    pack(bucket, at(18, 0)).await;
    for _ in 0..2 {
        let counted = bucket.trim(at(18, 0), false, &|_, _| {}).await.unwrap();
        assert_eq!(counted, trimmed(5));
    }
    assert_readable(bucket, &events).await;
}

async fn events_are_read_in_the_given_order(bucket: &Bucket) {
    let mut events = [put(bucket, 16, 0..20).await, put(bucket, 17, 0..20).await].concat();
    pack(bucket, at(17, 0)).await;
    trim(bucket, at(17, 0)).await;
    events.reverse();
    let missing = upload(at(15, 0)).id;
    let mut ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    ids.insert(7, missing);
    let read: Vec<_> = bucket.read_events(Journal::Uploads, ids.clone()).collect().await;
    let order: Vec<EventId> = read.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, ids);
    for (id, event) in read {
        match event {
            Ok(event) => assert_eq!(event.id, id),
            Err(error) => assert!(id == missing && error.is_not_found(), "{error}"),
        }
    }
    let nothing: Vec<_> = bucket.read_events(Journal::Directory, vec![missing]).collect().await;
    assert!(nothing[0].1.as_ref().unwrap_err().is_not_found());
    assert!(bucket.read_events(Journal::Uploads, Vec::new()).next().await.is_none());
}

/// The files of the single objects or of the segments, of an hour of the local bucket.
pub(crate) fn files_of(folder: &Path, part: &str, suffix: &str) -> Vec<PathBuf> {
    let names = files(folder, folder).into_iter();
    let wanted = names.filter(|name| name.starts_with(&format!("events/{part}/")) && name.ends_with(suffix));
    wanted.map(|name| folder.join(name)).collect()
}

#[tokio::test]
async fn a_packed_hour_takes_few_requests() {
    const EVENTS: u64 = 1_010;
    let (server, bucket) = s3().await;
    let mut events: Vec<Event> = (0..EVENTS).map(|_| upload(at(17, 5))).collect();
    events.sort_by_key(|event| event.id);
    // Fewer at the same time than the server has room for in its queue of connections.
    futures_util::stream::iter(&events)
        .map(|event| bucket.put_event(event))
        .buffer_unordered(32)
        .for_each(async |put| put.unwrap())
        .await;
    assert_eq!(pack(&bucket, at(18, 0)).await, packed(1, EVENTS));

    let requests = async || {
        let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
        let before = server.requests();
        let ids = bucket.list_events_of_hour(at(17, 0)).await.unwrap();
        let read: Vec<_> = bucket.read_events(Journal::Uploads, ids).collect().await;
        assert!(
            read.iter()
                .zip(&events)
                .all(|((_, read), event)| read.as_ref().unwrap().id == event.id)
        );
        assert_eq!(read.len(), events.len());
        server.requests() - before
    };
    // Two pages of single objects, the segments and the index, which is the whole of a small segment; again the segments.
    assert_eq!(requests().await, 5);
    trim(&bucket, at(18, 0)).await;
    // One page of single objects less.
    assert_eq!(requests().await, 4);
}

#[tokio::test]
async fn another_process_reads_what_was_packed_and_trimmed() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..20).await;
    let before: Vec<Vec<u8>> = files_of(folder.path(), "uploads", ".json")
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    pack(&bucket, at(18, 0)).await;
    trim(&bucket, at(18, 0)).await;
    assert_eq!(files_of(folder.path(), "uploads", ""), Vec::<PathBuf>::new());
    assert_readable(&open_folder(folder.path()).unwrap(), &events).await;

    // The segment has the bytes of the objects, and zstd alone can read them.
    let [segment] = files_of(folder.path(), "segments", ".zst").try_into().unwrap();
    let content = zstd::decode_all(std::fs::File::open(segment).unwrap()).unwrap();
    assert_eq!(content, before.concat());
}

#[tokio::test]
async fn a_trim_that_was_killed_continues() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..20).await;
    pack(&bucket, at(18, 0)).await;
    // The mark is written, and some objects are deleted.
    let [segment] = files_of(folder.path(), "segments", ".zst").try_into().unwrap();
    std::fs::write(segment.with_extension("trimmed"), "").unwrap();
    for file in files_of(folder.path(), "uploads", ".json").iter().step_by(2) {
        std::fs::remove_file(file).unwrap();
    }
    assert_readable(&open_folder(folder.path()).unwrap(), &events).await;
    assert_eq!(pack(&bucket, at(18, 0)).await, packed(0, 0));
    assert_eq!(trim(&bucket, at(18, 0)).await, trimmed(10));
    assert_readable(&open_folder(folder.path()).unwrap(), &events).await;
}
