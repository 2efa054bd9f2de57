use std::io::Write;

use bucket::{Bucket, Compressed, Error};
use bytes::Bytes;
use futures_util::TryStreamExt;
use schemas::{AccountId, Sha256};

use crate::stores::{local, on_each_store};

const ACCOUNT: AccountId = AccountId(7);

on_each_store!(
    a_small_artifact_is_read_back_unchanged,
    a_large_artifact_is_read_back_unchanged,
    an_artifact_is_stored_once,
    accounts_do_not_share_artifacts,
    a_missing_artifact_is_not_found,
    more_than_the_limit_is_refused,
    broken_frames_are_corrupt,
    a_file_of_another_size_is_refused,
);

fn compress(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 3).unwrap()
}

/// Bytes that do not compress.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(size).collect()
}

fn in_file(frames: &[u8]) -> Compressed {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(frames).unwrap();
    let size = frames.len() as u64;
    Compressed::File { file, size }
}

async fn put(bucket: &Bucket, content: &[u8]) -> Sha256 {
    let sha256 = Sha256::of(content);
    let frames = Compressed::Bytes(compress(content).into());
    bucket.put_artifact(ACCOUNT, sha256, frames).await.unwrap();
    sha256
}

async fn streamed(bucket: &Bucket, sha256: Sha256) -> Result<Vec<u8>, Error> {
    let stream = bucket.open_artifact(ACCOUNT, sha256).await?;
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn a_small_artifact_is_read_back_unchanged(bucket: &Bucket) {
    let content = br#"{"nodes": {}, "macros": {}}"#;
    let sha256 = put(bucket, content).await;
    assert_eq!(streamed(bucket, sha256).await.unwrap(), content);
    assert_eq!(bucket.read_artifact(ACCOUNT, sha256, 1000).await.unwrap(), content);
}

async fn a_large_artifact_is_read_back_unchanged(bucket: &Bucket) {
    let content = noise(20 * 1024 * 1024 + 3);
    let sha256 = Sha256::of(&content);
    let frames = compress(&content);
    assert!(frames.len() > 16 * 1024 * 1024);
    bucket.put_artifact(ACCOUNT, sha256, in_file(&frames)).await.unwrap();
    let whole = bucket
        .read_artifact(ACCOUNT, sha256, content.len() as u64)
        .await
        .unwrap();
    assert!(whole == content);
    assert!(streamed(bucket, sha256).await.unwrap() == content);

    // Putting it again, from memory, changes nothing.
    let again = Compressed::Bytes(frames.into());
    bucket.put_artifact(ACCOUNT, sha256, again).await.unwrap();
    assert!(streamed(bucket, sha256).await.unwrap() == content);
}

async fn an_artifact_is_stored_once(bucket: &Bucket) {
    let content = "the same content ".repeat(1000);
    let sha256 = Sha256::of(content.as_bytes());
    let first = compress(content.as_bytes());
    let second = [compress(b"the same content "), compress(&content.as_bytes()[17..])].concat();
    assert_ne!(first, second);
    for frames in [&first, &second] {
        bucket.put_artifact(ACCOUNT, sha256, in_file(frames)).await.unwrap();
    }
    let (size, frames) = bucket.open_compressed(ACCOUNT, sha256).await.unwrap();
    let frames: Vec<Bytes> = frames.try_collect().await.unwrap();
    assert_eq!(frames.concat(), first);
    assert_eq!(size, first.len() as u64);
}

async fn accounts_do_not_share_artifacts(bucket: &Bucket) {
    let sha256 = put(bucket, b"{}").await;
    let error = bucket.read_artifact(AccountId(8), sha256, 1000).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

async fn a_missing_artifact_is_not_found(bucket: &Bucket) {
    let absent = Sha256::of(b"absent");
    for error in [
        streamed(bucket, absent).await.unwrap_err(),
        bucket.read_artifact(ACCOUNT, absent, 1000).await.unwrap_err(),
        bucket.open_compressed(ACCOUNT, absent).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(error.is_not_found() && !error.is_unavailable(), "{error}");
        assert!(error.to_string().contains(&absent.to_string()), "{error}");
    }
}

async fn more_than_the_limit_is_refused(bucket: &Bucket) {
    let content = vec![b' '; 1_000_000];
    let sha256 = put(bucket, &content).await;
    let error = bucket.read_artifact(ACCOUNT, sha256, 999_999).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { .. }) && error.to_string().contains("999999 bytes"),
        "{error}"
    );
    assert_eq!(bucket.read_artifact(ACCOUNT, sha256, 1_000_000).await.unwrap(), content);
}

async fn broken_frames_are_corrupt(bucket: &Bucket) {
    let content = noise(100_000);
    let frames = compress(&content);
    let cases = [
        (Sha256::of(b"truncated"), frames[..frames.len() - 10].to_vec()),
        (Sha256::of(b"not zstd"), b"{}".to_vec()),
    ];
    for (sha256, frames) in cases {
        bucket
            .put_artifact(ACCOUNT, sha256, Compressed::Bytes(frames.into()))
            .await
            .unwrap();
        for error in [
            bucket.read_artifact(ACCOUNT, sha256, 100_000).await.unwrap_err(),
            streamed(bucket, sha256).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(&sha256.to_string()), "{error}");
        }
    }
}

async fn a_file_of_another_size_is_refused(bucket: &Bucket) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&compress(b"{}")).unwrap();
    let sha256 = Sha256::of(b"{}");
    let result = bucket
        .put_artifact(ACCOUNT, sha256, Compressed::File { file, size: 5 })
        .await;
    assert!(matches!(result, Err(Error::Input { .. })), "{result:?}");
    assert!(streamed(bucket, sha256).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn concurrent_puts_of_one_artifact_all_succeed() {
    let (_folder, bucket) = local();
    let content = noise(17 * 1024 * 1024);
    let (sha256, frames) = (Sha256::of(&content), compress(&content));
    let put = || bucket.put_artifact(ACCOUNT, sha256, in_file(&frames));
    let (first, second, third) = tokio::join!(put(), put(), put());
    first.and(second).and(third).unwrap();
    assert!(
        bucket
            .read_artifact(ACCOUNT, sha256, content.len() as u64)
            .await
            .unwrap()
            == content
    );
}
