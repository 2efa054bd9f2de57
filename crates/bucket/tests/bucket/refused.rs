//! Uploads that were refused.

use bucket::{Bucket, REFUSED_KEPT_FOR, RefusedOfHour, RefusedUpload};
use chrono::{DateTime, TimeDelta, Utc};
use schemas::{AccountId, TokenId, TokenState};
use uuid::Uuid;

use crate::stores::on_each_store;

on_each_store!(refused_uploads_are_listed_by_hour_and_removed_when_they_are_old);

fn of_hour(hour: DateTime<Utc>, reason: &str) -> RefusedOfHour {
    let record = RefusedUpload {
        time: hour,
        status: 422,
        account_id: Some(AccountId(1)),
        token_id: TokenId(Uuid::from_u128(7)),
        token_name: None,
        token_state: TokenState::Active,
        environment: None,
        environment_id: None,
        file: Some("a\\nb".to_owned()),
        size: 7,
        reason: reason.to_owned(),
        client: None,
        user_agent: None,
        route: "POST /api/v2/datacoves/manifests".to_owned(),
        request_id: None,
    };
    RefusedOfHour {
        not_kept: 3,
        not_kept_of: [(TokenId(Uuid::from_u128(7)), 2)].into(),
        records: vec![record],
    }
}

async fn refused_uploads_are_listed_by_hour_and_removed_when_they_are_old(bucket: &Bucket) {
    assert_eq!(bucket.list_refused(None).await.unwrap(), []);
    assert_eq!(bucket.remove_refused(DateTime::UNIX_EPOCH).await.unwrap(), 0);
    let now = "2026-12-01T00:30:00Z".parse::<DateTime<Utc>>().unwrap();
    let ages = [
        TimeDelta::zero(),
        TimeDelta::hours(1),
        TimeDelta::days(29),
        REFUSED_KEPT_FOR + TimeDelta::hours(1),
    ];
    let [one, other] = [1, 2].map(Uuid::from_u128);
    for age in ages {
        for reason in ["before", "after"] {
            let json = serde_json::to_vec(&of_hour(now - age, reason)).unwrap();
            bucket.put_refused(now - age, one, json.into()).await.unwrap();
        }
    }
    let json = serde_json::to_vec(&of_hour(now, "of another process")).unwrap();
    bucket.put_refused(now, other, json.into()).await.unwrap();

    let objects = bucket.list_refused(None).await.unwrap();
    let hours: Vec<_> = objects.iter().map(|object| (now - object.hour).num_hours()).collect();
    assert_eq!(hours, [0, 0, 1, 29 * 24, 30 * 24 + 1]);
    let last = bucket.read_refused(&objects[4]).await.unwrap();
    assert_eq!(last, Some(of_hour(now - ages[3], "after")));
    let since = bucket.list_refused(Some(now - ages[1])).await.unwrap();
    assert_eq!(since, objects[..3]);

    assert_eq!(bucket.remove_refused(now - REFUSED_KEPT_FOR).await.unwrap(), 1);
    assert_eq!(bucket.list_refused(None).await.unwrap(), objects[..4]);
    assert_eq!(bucket.read_refused(&objects[4]).await.unwrap(), None);
    let broken = bucket.put_refused(now, other, "{}x".into()).await;
    broken.unwrap();
    let error = bucket.read_refused(&objects[0]).await.unwrap_err();
    assert!(!error.is_unavailable(), "{error}");
    assert!(bucket.read_refused(&objects[1]).await.unwrap().is_some());
}
