use std::time::Duration;

use bucket::{Bucket, DeletedTokens};
use chrono::DateTime;
use clock::Clock;
use schemas::TokenId;
use testkit::wait_until;
use tokio::time::Instant;

use crate::stores::{local, on_each_store, s3};

on_each_store!(a_revoked_token_stays_revoked);

async fn a_revoked_token_stays_revoked(bucket: &Bucket) {
    let [token, other] = [(); 2].map(|()| new_token());
    assert!(!bucket.is_revoked(token).await.unwrap());
    for _ in 0..2 {
        bucket.revoke(token).await.unwrap();
        assert!(bucket.is_revoked(token).await.unwrap());
    }
    assert!(!bucket.is_revoked(other).await.unwrap());
}

fn new_token() -> TokenId {
    TokenId(Clock::default().new_id(DateTime::UNIX_EPOCH))
}

#[tokio::test(start_paused = true)]
async fn tokens_are_looked_for_only_after_postgres_was_down() {
    let (_folder, bucket) = local();
    let known = new_token();
    bucket.revoke(known).await.unwrap();
    let deleted = DeletedTokens::new(bucket.clone());
    assert!(deleted.contain(known).await.unwrap(), "before anything is listed");
    let listing = deleted.clone();
    tokio::spawn(async move { listing.run().await });
    let later = wait_until("the bucket is not asked for each token", async || {
        let later = new_token();
        bucket.revoke(later).await.unwrap();
        (!deleted.contain(later).await.unwrap()).then_some(later)
    })
    .await;
    assert!(deleted.contain(known).await.unwrap());
    deleted.postgres_is_down();
    assert!(deleted.contain(later).await.unwrap());

    // All are known again some time after the outage, and in any case after a while.
    let last = wait_until("the bucket is not asked for each token", async || {
        let last = new_token();
        bucket.revoke(last).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        (!deleted.contain(last).await.unwrap()).then_some(last)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(deleted.contain(last).await.unwrap());
    let newest = new_token();
    bucket.revoke(newest).await.unwrap();
    assert!(!deleted.contain(newest).await.unwrap());
    deleted.postgres_was_reached(Instant::now().into_std());
    assert!(deleted.contain(newest).await.unwrap());
}

#[tokio::test]
async fn a_token_is_not_trusted_if_postgres_was_down_and_the_bucket_is() {
    let (server, bucket) = s3().await;
    let deleted = DeletedTokens::new(bucket);
    assert!(!deleted.contain(new_token()).await.unwrap());
    drop(server);
    // PostgreSQL decides while only the bucket is down.
    assert!(!deleted.contain(new_token()).await.unwrap());
    deleted.postgres_is_down();
    assert!(deleted.contain(new_token()).await.unwrap_err().is_unavailable());
}
