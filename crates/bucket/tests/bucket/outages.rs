//! Tests the errors of a bucket that cannot be used.

use std::time::{Duration, Instant};

use bucket::{Bucket, ClaimKind, Compressed, Error, Journal, Problem};
use schemas::{AccountId, Sha256, TokenId};
use serde_json::json;
use testkit::s3::S3Server;
use uuid::Uuid;

use crate::journal::{at, upload};
use crate::stores::{local, on_each_store, open_folder, s3};

on_each_store!(a_good_bucket_passes_the_check);

async fn a_good_bucket_passes_the_check(bucket: &Bucket) {
    for _ in 0..2 {
        bucket.check().await.unwrap();
    }
}

/// Runs every operation, each of which must fail, and returns the errors.
async fn errors_of_everything(bucket: &Bucket) -> Vec<Error> {
    let (account, sha256, token) = (AccountId(1), Sha256::of(b""), TokenId(Uuid::nil()));
    let event = upload(at(17, 0));
    let owner = json!({});
    let (checked, put_artifact, read, opened, put, got, listed, of_directory, first, claim, revoked) = tokio::join!(
        bucket.check(),
        bucket.put_artifact(account, sha256, Compressed::Bytes("x".into())),
        bucket.read_artifact(account, sha256, 10),
        bucket.open_artifact(account, sha256),
        bucket.put_event(&event),
        bucket.get_event(Journal::Uploads, event.id),
        bucket.list_events_of_hour(at(17, 0)),
        bucket.list_directory_events(),
        bucket.first_hour(),
        bucket.claim(ClaimKind::Run, 1, &owner),
        bucket.is_revoked(token),
    );
    vec![
        checked.unwrap_err(),
        put_artifact.unwrap_err(),
        read.unwrap_err(),
        opened.map(|_| ()).unwrap_err(),
        put.unwrap_err(),
        got.unwrap_err(),
        listed.unwrap_err(),
        of_directory.unwrap_err(),
        first.unwrap_err(),
        claim.unwrap_err(),
        revoked.unwrap_err(),
        bucket.segment_owners(ClaimKind::Run, 1).await.unwrap_err(),
        bucket.revoke(token).await.unwrap_err(),
        bucket.pack(at(18, 0), &|_, _| {}).await.unwrap_err(),
        bucket.trim(at(18, 0), true, &|_, _| {}).await.unwrap_err(),
        bucket.list_upload_events().await.unwrap_err(),
    ]
}

fn assert_problem(errors: &[Error], expected: Problem, says: &[&str]) {
    for error in errors {
        assert!(error.is_unavailable(), "{error:?}");
        assert!(
            matches!(error, Error::Unavailable { problem, .. } if *problem == expected),
            "{error:?}"
        );
        let message = error.to_string();
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_reported_without_the_secret() {
    let server = S3Server::start().await.unwrap();
    let bucket = Bucket::open(&server.wrong_credentials_settings().unwrap()).unwrap();
    let errors = errors_of_everything(&bucket).await;
    assert_problem(&errors, Problem::Refused, &["`closed`", &server.url(), "credentials"]);
    assert!(!format!("{errors:?}").contains("wrong-secret-key"));
}

#[tokio::test]
async fn a_missing_bucket_is_reported() {
    let server = S3Server::start().await.unwrap();
    let bucket = Bucket::open(&server.missing_bucket_settings().unwrap()).unwrap();
    let errors = errors_of_everything(&bucket).await;
    assert_problem(&errors, Problem::Missing, &["`missing`", &server.url(), "create it"]);
}

#[tokio::test]
async fn an_outage_is_noticed_and_the_bucket_recovers() {
    let (mut server, bucket) = s3().await;
    let event = upload(at(17, 0));
    bucket.put_event(&event).await.unwrap();

    server.stop().await;
    let gone = Instant::now();
    let errors = errors_of_everything(&bucket).await;
    assert!(gone.elapsed() < Duration::from_secs(40), "{:?}", gone.elapsed());
    assert_problem(
        &errors,
        Problem::Unreachable,
        &["`artifacts`", &server.url(), "is it running"],
    );

    server.restart().await.unwrap();
    bucket.check().await.unwrap();
    assert_eq!(bucket.list_events_of_hour(at(17, 0)).await.unwrap(), [event.id]);
}

#[tokio::test]
async fn a_server_may_start_after_the_bucket_was_opened() {
    let mut server = S3Server::start().await.unwrap();
    let settings = server.settings("artifacts").unwrap();
    server.stop().await;
    let bucket = Bucket::open(&settings).unwrap();
    assert!(bucket.check().await.unwrap_err().is_unavailable());
    server.restart().await.unwrap();
    bucket.check().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_is_reported() {
    let (folder, _bucket) = local();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open_folder(&file.join("data")).unwrap_err();
    assert!(
        error.is_unavailable() && error.to_string().contains("file/data"),
        "{error}"
    );
}
