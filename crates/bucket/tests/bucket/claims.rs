use bucket::{Bucket, Claim, ClaimKind, SegmentClaim};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::stores::on_each_store;

on_each_store!(
    one_of_many_concurrent_claims_succeeds,
    a_repeated_claim_is_still_mine,
    kinds_and_numbers_are_independent,
    one_of_many_concurrent_segments_succeeds_whole,
);

async fn one_of_many_concurrent_claims_succeeds(bucket: &Bucket) {
    let claims = (0..32).map(|owner| async move {
        let owner = json!({ "owner": owner });
        (bucket.claim(ClaimKind::Run, 1, &owner).await.unwrap(), owner)
    });
    let claims = join_all(claims).await;

    let (mine, taken): (Vec<_>, Vec<_>) = claims.into_iter().partition(|(claim, _)| *claim == Claim::Mine);
    let [(_, winner)] = mine.as_slice() else {
        panic!("{mine:?}")
    };
    assert_eq!(taken.len(), 31);
    for (claim, _) in taken {
        assert_eq!(claim, Claim::Taken(winner.clone()));
    }
    assert_eq!(
        bucket.segment_owners(ClaimKind::Run, 1).await.unwrap(),
        Some(vec![winner.clone()])
    );
}

async fn a_repeated_claim_is_still_mine(bucket: &Bucket) {
    let owner = json!({ "environment": 3, "dag_id": "daily", "run_id": "scheduled__2026-11-24" });
    for _ in 0..2 {
        assert_eq!(bucket.claim(ClaimKind::Job, 5, &owner).await.unwrap(), Claim::Mine);
    }
    let other = bucket.claim(ClaimKind::Job, 5, &json!({})).await.unwrap();
    assert_eq!(other, Claim::Taken(owner));
}

async fn kinds_and_numbers_are_independent(bucket: &Bucket) {
    use ClaimKind::{Account, Environment, Job, Project, Run};
    for kind in [Account, Project, Environment, Job, Run] {
        for n in [1, 2] {
            assert_eq!(bucket.segment_owners(kind, n).await.unwrap(), None);
            let owner = json!(format!("{kind:?} {n}"));
            assert_eq!(bucket.claim(kind, n, &owner).await.unwrap(), Claim::Mine);
            assert_eq!(bucket.segment_owners(kind, n).await.unwrap(), Some(vec![owner]));
        }
    }
}

async fn one_of_many_concurrent_segments_succeeds_whole(bucket: &Bucket) {
    let owners = |claim: i64| -> Vec<Value> { (0..=claim).map(|index| json!({ "key": [claim, index] })).collect() };
    let claims =
        (0..8).map(|claim| async move { bucket.claim_segment(ClaimKind::Run, 7, owners(claim)).await.unwrap() });
    let claims = join_all(claims).await;

    let winner = claims.iter().position(|claim| *claim == SegmentClaim::Mine).unwrap();
    let winners = owners(i64::try_from(winner).unwrap());
    for (claim, outcome) in claims.iter().enumerate() {
        if claim != winner {
            assert_eq!(*outcome, SegmentClaim::Taken(winners.clone()));
        }
    }
    let again = bucket.claim_segment(ClaimKind::Run, 7, winners.clone()).await.unwrap();
    assert_eq!(again, SegmentClaim::Mine);
    assert_eq!(bucket.segment_owners(ClaimKind::Run, 7).await.unwrap(), Some(winners));
    assert_eq!(bucket.list_claims(ClaimKind::Run).await.unwrap(), [7]);
}
