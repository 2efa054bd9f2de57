use bucket::Bucket;
use chrono::DateTime;
use clock::Clock;
use schemas::TokenId;

use crate::stores::on_each_store;

on_each_store!(a_revoked_token_stays_revoked);

async fn a_revoked_token_stays_revoked(bucket: &Bucket) {
    let [token, other] = [(); 2].map(|()| TokenId(Clock::default().new_id(DateTime::UNIX_EPOCH)));
    assert!(!bucket.is_revoked(token).await.unwrap());
    for _ in 0..2 {
        bucket.revoke(token).await.unwrap();
        assert!(bucket.is_revoked(token).await.unwrap());
    }
    assert!(!bucket.is_revoked(other).await.unwrap());
}
