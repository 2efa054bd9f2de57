use bucket::{Bucket, Error, Journal};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use clock::Clock;
use schemas::{AccountId, Event, EventData, EventId, TokenId, TokenRevoked};
use uuid::Uuid;

use crate::stores::on_each_store;

on_each_store!(
    an_event_is_read_back_unchanged,
    an_event_that_is_put_twice_is_not_changed,
    events_are_listed_by_the_hour_of_their_id,
    directory_events_are_separate,
    a_missing_event_is_not_found,
    an_id_without_a_time_is_refused,
    an_empty_journal_has_no_first_hour,
    the_first_hour_is_the_earliest,
);

pub(crate) fn at(hour: u32, minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, hour, minute, 0).unwrap()
}

pub(crate) fn upload(moment: DateTime<Utc>) -> Event {
    testkit::deletion(moment)
}

fn revocation(moment: DateTime<Utc>) -> Event {
    let data = TokenRevoked {
        account_id: AccountId(1),
        token_id: TokenId(Uuid::nil()),
    };
    event(moment, data)
}

fn event(moment: DateTime<Utc>, data: impl Into<EventData>) -> Event {
    let id = EventId(Clock::Fixed(moment).new_id(moment));
    Event::new(id, moment, &data.into()).unwrap()
}

async fn put_all(bucket: &Bucket, events: &[Event]) {
    for event in events {
        bucket.put_event(event).await.unwrap();
    }
}

fn ids(events: &[Event]) -> Vec<EventId> {
    let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
    ids.sort();
    ids
}

async fn an_event_is_read_back_unchanged(bucket: &Bucket) {
    for event in [upload(at(17, 5)), revocation(at(17, 6))] {
        bucket.put_event(&event).await.unwrap();
        let again = bucket.get_event(Journal::of(&event), event.id).await.unwrap();
        assert_eq!(again.to_json().unwrap(), event.to_json().unwrap());
    }
}

async fn an_event_that_is_put_twice_is_not_changed(bucket: &Bucket) {
    let event = upload(at(17, 5));
    let altered = Event {
        source: "someone else".to_owned(),
        ..event.clone()
    };
    put_all(bucket, &[event.clone(), altered]).await;
    let again = bucket.get_event(Journal::Uploads, event.id).await.unwrap();
    assert_eq!(again.source, event.source);
}

async fn events_are_listed_by_the_hour_of_their_id(bucket: &Bucket) {
    let of_17 = [upload(at(17, 59)), upload(at(17, 0)), upload(at(17, 30))];
    let of_18 = [upload(at(18, 0))];
    put_all(bucket, &of_17).await;
    put_all(bucket, &of_18).await;
    for moment in [at(17, 0), at(17, 42)] {
        assert_eq!(bucket.list_events_of_hour(moment).await.unwrap(), ids(&of_17));
    }
    assert_eq!(bucket.list_events_of_hour(at(18, 1)).await.unwrap(), ids(&of_18));
    assert_eq!(bucket.list_events_of_hour(at(19, 0)).await.unwrap(), []);
}

async fn directory_events_are_separate(bucket: &Bucket) {
    assert_eq!(bucket.list_directory_events().await.unwrap(), []);
    let uploads = [upload(at(17, 0))];
    let directory = [revocation(at(17, 0)), revocation(at(3, 0))];
    put_all(bucket, &uploads).await;
    put_all(bucket, &directory).await;
    assert_eq!(bucket.list_directory_events().await.unwrap(), ids(&directory));
    assert_eq!(bucket.list_events_of_hour(at(17, 0)).await.unwrap(), ids(&uploads));
}

async fn a_missing_event_is_not_found(bucket: &Bucket) {
    let id = upload(at(17, 0)).id;
    for journal in [Journal::Uploads, Journal::Directory] {
        let error = bucket.get_event(journal, id).await.unwrap_err();
        assert!(
            error.is_not_found() && error.to_string().contains(&id.to_string()),
            "{error}"
        );
    }
}

async fn an_id_without_a_time_is_refused(bucket: &Bucket) {
    let event = Event {
        id: EventId(Uuid::nil()),
        ..upload(at(17, 0))
    };
    let error = bucket.put_event(&event).await.unwrap_err();
    assert!(
        matches!(error, Error::InvalidEventId(_)) && error.to_string().contains("UUIDv7"),
        "{error}"
    );
}

async fn an_empty_journal_has_no_first_hour(bucket: &Bucket) {
    assert_eq!(bucket.first_hour().await.unwrap(), None);
    bucket.put_event(&revocation(at(17, 0))).await.unwrap();
    assert_eq!(bucket.first_hour().await.unwrap(), None);
}

async fn the_first_hour_is_the_earliest(bucket: &Bucket) {
    // The earliest event is neither the first nor the last one put, and does not have the lowest month, day or hour.
    let earlier = Utc.with_ymd_and_hms(2025, 12, 31, 23, 59, 59).unwrap();
    let moments = [at(17, 0), earlier, earlier + TimeDelta::seconds(1), at(0, 0)];
    put_all(bucket, &moments.map(upload)).await;
    let first = Utc.with_ymd_and_hms(2025, 12, 31, 23, 0, 0).unwrap();
    assert_eq!(bucket.first_hour().await.unwrap(), Some(first));
}
