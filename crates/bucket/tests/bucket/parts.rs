//! Tests of listing the journal in parts.

use bucket::Part;
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use futures_util::TryStreamExt;
use schemas::EventId;

use crate::journal::at;
use crate::stores::local;

#[tokio::test]
async fn a_day_with_many_events_is_listed_hour_by_hour() {
    let (folder, bucket) = local();
    // An object that is only listed may be empty.
    let put = |time: DateTime<Utc>| {
        let id = EventId(Clock::System.new_id(time));
        let hour = folder
            .path()
            .join(time.format("events/uploads/%Y/%m/%d/%H").to_string());
        std::fs::create_dir_all(&hour).unwrap();
        std::fs::write(hour.join(format!("{id}.json")), "").unwrap();
        id
    };
    let mut ids: Vec<EventId> = [at(3, 0) - TimeDelta::days(2), at(4, 0) - TimeDelta::days(2)]
        .map(put)
        .to_vec();
    ids.extend((0..13_000).map(|_| put(at(16, 0))));
    ids.extend((0..13_000).map(|_| put(at(17, 0))));
    ids.push(put(at(0, 0) + TimeDelta::days(1)));
    ids.sort_unstable();

    let parts: Vec<Part> = bucket.upload_events(None, None).try_collect().await.unwrap();
    let sizes: Vec<usize> = parts.iter().map(|part| part.ids.len()).collect();
    assert_eq!(sizes, [2, 13_000, 13_000, 1]);
    let hours: Vec<(u64, u64)> = parts.iter().map(|part| (part.hours_listed, part.hours)).collect();
    assert_eq!(hours, [(24, 72), (24 + 17, 72), (24 + 18, 72), (72, 72)]);
    let listed: Vec<EventId> = parts.into_iter().flat_map(|part| part.ids).collect();
    assert!(listed == ids, "{} listed", listed.len());
}
