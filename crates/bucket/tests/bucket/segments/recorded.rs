//! Tests that a segment stays readable. The recorded one was made from the description of the format, with other programs.

use bucket::Journal;
use chrono::{TimeZone, Utc};

use crate::stores::local;

#[tokio::test]
async fn a_segment_of_the_first_version_is_read() {
    let recorded = testkit::repository_file("crates/bucket/tests/bucket/segments/recorded");
    let single = testkit::repository_file("fixtures/earlier/bucket/events/uploads/2026/11/28/07");
    let (folder, bucket) = local();
    let hour = folder.path().join("events/segments/2026/11/28/07");
    std::fs::create_dir_all(&hour).unwrap();
    for file in std::fs::read_dir(recorded).unwrap() {
        let file = file.unwrap();
        let segment = hour.join(file.file_name());
        std::fs::copy(file.path(), &segment).unwrap();
        std::fs::write(segment.with_extension("trimmed"), "").unwrap();
    }
    let time = Utc.with_ymd_and_hms(2026, 11, 28, 7, 0, 0).unwrap();
    let ids = bucket.list_events_of_hour(time).await.unwrap();
    assert_eq!(ids.len(), std::fs::read_dir(&single).unwrap().count());
    for id in ids {
        let event = bucket.get_event(Journal::Uploads, id).await.unwrap();
        let written = std::fs::read(single.join(format!("{id}.json"))).unwrap();
        assert_eq!(event.to_json().unwrap(), written);
    }
}
