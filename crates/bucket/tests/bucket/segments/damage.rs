//! Tests that damage to segments and single objects is never a silent loss.

use std::path::{Path, PathBuf};

use bucket::{Bucket, Error, Journal, Trimmed};
use futures_util::StreamExt;
use schemas::Event;

use super::{assert_readable, files_of, pack, packed, put, trim, trimmed};
use crate::journal::{at, upload};
use crate::stores::{local, open_folder};

fn the_segment(folder: &Path) -> PathBuf {
    let [segment] = files_of(folder, "segments", ".zst").try_into().unwrap();
    segment
}

/// Changes a byte of a file, counted from its beginning or, if negative, from its end.
fn damage(file: &Path, at: isize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = if at < 0 {
        bytes.len().strict_add_signed(at)
    } else {
        at.cast_unsigned()
    };
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Opens the bucket again, without what it has in memory.
fn again(folder: &Path) -> Bucket {
    open_folder(folder).unwrap()
}

#[tokio::test]
async fn a_damaged_segment_is_replaced_by_the_single_objects() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..20).await;
    pack(&bucket, at(18, 0)).await;
    let segment = the_segment(folder.path());
    let intact = std::fs::read(&segment).unwrap();
    for position in [0, 30, -1] {
        std::fs::write(&segment, &intact).unwrap();
        damage(&segment, position);
        assert_readable(&again(folder.path()), &events).await;
        let result = trim(&again(folder.path()), at(18, 0)).await;
        assert_eq!(result.deleted, 0, "{result:?}");
    }
    std::fs::write(&segment, "").unwrap();
    assert_readable(&again(folder.path()), &events).await;

    // With another event there is a reason to look into it.
    let late = put(&bucket, 17, 30..31).await;
    assert_eq!(pack(&again(folder.path()), at(18, 0)).await, packed(1, 21));
    assert_eq!(trim(&again(folder.path()), at(18, 0)).await, trimmed(21));
    std::fs::remove_file(&segment).unwrap();
    assert_readable(&again(folder.path()), &[events, late].concat()).await;
}

#[tokio::test]
async fn the_same_events_are_packed_over_a_damaged_segment() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..20).await;
    pack(&bucket, at(18, 0)).await;
    let segment = the_segment(folder.path());
    let intact = std::fs::read(&segment).unwrap();
    damage(&segment, 30);
    put(&bucket, 17, 30..31).await;
    let file = files_of(folder.path(), "uploads", ".json").pop().unwrap();
    std::fs::write(&file, "not an event").unwrap();
    let result = pack(&again(folder.path()), at(18, 0)).await;
    assert_eq!((result.segments, result.events, result.unreadable), (1, 20, 1));
    assert!(std::fs::read(&segment).unwrap() == intact);
    std::fs::remove_file(file).unwrap();
    assert_readable(&again(folder.path()), &events).await;
}

#[tokio::test]
async fn a_damaged_segment_without_single_objects_is_an_error() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..3).await;
    pack(&bucket, at(18, 0)).await;
    trim(&bucket, at(18, 0)).await;
    let others = put(&bucket, 18, 0..3).await;
    let segment = the_segment(folder.path());
    let intact = std::fs::read(&segment).unwrap();
    damage(&segment, 30);
    let assert_says_so = |error: Error| {
        let (message, key) = (error.to_string(), segment.file_name().unwrap().to_str().unwrap());
        assert!(!error.is_unavailable() && !error.is_not_found(), "{error:?}");
        assert!(
            message.contains(key) && message.contains("restore this object"),
            "{message}"
        );
    };
    let damaged = again(folder.path());
    assert_says_so(damaged.list_events_of_hour(at(17, 0)).await.unwrap_err());
    assert_says_so(damaged.list_upload_events().await.unwrap_err());
    assert_says_so(damaged.first_hour().await.unwrap_err());
    assert_says_so(damaged.get_event(Journal::Uploads, events[0].id).await.unwrap_err());
    for id in [events[0].id, upload(at(17, 50)).id] {
        let mut read = damaged.read_events(Journal::Uploads, vec![id]);
        assert_says_so(read.next().await.unwrap().1.unwrap_err());
    }
    // Other hours are not affected, and are packed.
    assert_eq!(damaged.list_events_of_hour(at(18, 0)).await.unwrap().len(), 3);
    put(&bucket, 17, 30..31).await;
    assert_says_so(damaged.pack(at(19, 0), &|_, _| {}).await.unwrap_err());
    assert_eq!(trim(&damaged, at(19, 0)).await.deleted, 3);

    std::fs::remove_file(&segment).unwrap();
    assert!(
        again(folder.path()).list_upload_events().await.is_err(),
        "the mark remains"
    );
    std::fs::write(&segment, intact).unwrap();
    let late = again(folder.path()).list_upload_events().await.unwrap();
    assert_eq!(late.len(), events.len() + others.len() + 1);
}

#[tokio::test]
async fn events_whose_single_objects_or_marks_were_lost_are_read_from_segments() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..20).await;
    pack(&bucket, at(18, 0)).await;
    for lost in &files_of(folder.path(), "uploads", ".json")[5..9] {
        std::fs::remove_file(lost).unwrap();
    }
    assert_readable(&again(folder.path()), &events).await;

    trim(&bucket, at(18, 0)).await;
    for mark in files_of(folder.path(), "segments", ".trimmed") {
        std::fs::remove_file(mark).unwrap();
    }
    assert_readable(&again(folder.path()), &events).await;

    // Now the segment has the only copies, although nothing marks it.
    let segment = the_segment(folder.path());
    damage(&segment, 30);
    let error = again(folder.path()).list_upload_events().await.unwrap_err().to_string();
    assert!(
        error.contains("only 0 of its 20 events are found") && error.contains("restore this object"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_block_costs_only_its_own_events() {
    let (folder, bucket) = local();
    let mut events: Vec<Event> = (0..1_500).map(|_| upload(at(17, 5))).collect();
    events.sort_by_key(|event| event.id);
    for event in &events {
        bucket.put_event(event).await.unwrap();
    }
    pack(&bucket, at(18, 0)).await;
    let (first, last) = (events.first().unwrap(), events.last().unwrap());
    damage(&the_segment(folder.path()), -1);
    // The single objects stand in for the block, and those of the other blocks are trimmed.
    assert_readable(&again(folder.path()), &events).await;
    let result = trim(&again(folder.path()), at(18, 0)).await;
    assert!(result.deleted > 0 && result.different > 0, "{result:?}");
    assert_readable(&again(folder.path()), &events).await;

    for file in files_of(folder.path(), "uploads", ".json") {
        std::fs::remove_file(file).unwrap();
    }
    let damaged = again(folder.path());
    assert_eq!(damaged.list_upload_events().await.unwrap().len(), events.len());
    assert!(damaged.get_event(Journal::Uploads, first.id).await.is_ok());
    for bucket in [damaged, again(folder.path())] {
        let error = bucket.get_event(Journal::Uploads, last.id).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let ids = events.iter().map(|event| event.id).collect();
    let read: Vec<_> = again(folder.path()).read_events(Journal::Uploads, ids).collect().await;
    let unreadable = read.iter().filter(|(_, event)| event.is_err()).count();
    assert_eq!(unreadable as u64, result.different);
}

#[tokio::test]
async fn a_single_object_that_differs_from_its_segment_stays() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..3).await;
    pack(&bucket, at(18, 0)).await;
    let changed = files_of(folder.path(), "uploads", ".json").remove(1);
    let mut content = std::fs::read(&changed).unwrap();
    content.push(b' ');
    std::fs::write(&changed, &content).unwrap();
    let result = trim(&bucket, at(18, 0)).await;
    let expected = Trimmed {
        deleted: 2,
        different: 1,
        not_packed: 0,
    };
    assert_eq!(result, expected);
    assert_eq!(files_of(folder.path(), "uploads", ".json"), [changed]);
    assert_readable(&again(folder.path()), &events).await;
}

#[tokio::test]
async fn a_damaged_single_object_is_read_from_its_segment() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..3).await;
    pack(&bucket, at(18, 0)).await;
    for file in files_of(folder.path(), "uploads", ".json") {
        std::fs::write(file, "not an event").unwrap();
    }
    assert_readable(&again(folder.path()), &events).await;
}

#[tokio::test]
async fn objects_that_are_not_segments_are_skipped() {
    let (folder, bucket) = local();
    let events = put(&bucket, 17, 0..3).await;
    pack(&bucket, at(18, 0)).await;
    let hour = folder.path().join("events/segments/2026/11/23/17");
    std::fs::write(hour.join("README.txt"), "not a segment").unwrap();
    std::fs::write(hour.join("3-abc.zst"), "not a segment").unwrap();
    std::fs::create_dir_all(folder.path().join("events/segments/2026/11/23/16")).unwrap();
    assert_readable(&bucket, &events).await;
    assert_eq!(trim(&bucket, at(18, 0)).await, trimmed(3));
    assert_readable(&again(folder.path()), &events).await;
}
