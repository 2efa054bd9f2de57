use bucket::{Bucket, Claim, ClaimKind};
use futures_util::future::join_all;
use serde_json::json;

use crate::stores::on_each_store;

on_each_store!(
    one_of_many_concurrent_claims_succeeds,
    a_repeated_claim_is_still_mine,
    kinds_and_numbers_are_independent,
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
        bucket.claim_owner(ClaimKind::Run, 1).await.unwrap().as_ref(),
        Some(winner)
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
            assert_eq!(bucket.claim_owner(kind, n).await.unwrap(), None);
            let owner = json!(format!("{kind:?} {n}"));
            assert_eq!(bucket.claim(kind, n, &owner).await.unwrap(), Claim::Mine);
            assert_eq!(bucket.claim_owner(kind, n).await.unwrap(), Some(owner));
        }
    }
}
