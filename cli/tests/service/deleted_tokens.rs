//! Tokens that are deleted while PostgreSQL is down.

use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{Service, wait_until};

use crate::installation::{BINARY, Installation, Token, newest_manifest, prepared};

const RUNS: &str = "/api/v2/accounts/1/runs/";

/// The status of a read, once PostgreSQL answers.
async fn read(installation: &Installation, token: &Token) -> StatusCode {
    wait_until("PostgreSQL answers reads", async || {
        let (status, _) = installation.send(Method::GET, token, RUNS).await;
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some(status)
    })
    .await
}

async fn query(installation: &Installation, token: &Token) -> StatusCode {
    let request = installation
        .client
        .post(format!("{}/graphql", installation.service.url));
    let request = request
        .bearer_auth(&token.key)
        .json(&json!({ "query": "{ __typename }" }));
    request.send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_deleted_while_postgres_was_down_stays_deleted_without_a_projector() {
    let mut reads = Installation::of(prepared().await, "api").await;
    let [deleted, unused, kept] = [(); 3].map(|()| reads.token("1", "read,upload", &[]));
    let ingest = Service::start(BINARY, "ingest", &reads.system).await;
    let reads_url = reads.service.url.clone();
    for token in [&deleted, &unused, &kept] {
        assert_eq!(read(&reads, token).await, StatusCode::OK);
    }
    reads.service.url.clone_from(&ingest.url);
    reads.upload_manifest(&deleted, "run", newest_manifest()).await;
    reads.service.url.clone_from(&reads_url);

    reads.system.database.close().await;
    // Both processes see that PostgreSQL is down when one token is used, but not when the other one is deleted.
    assert_eq!(
        reads.send(Method::GET, &kept, RUNS).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    reads.command(&["token", "delete", &deleted.id]);
    reads.command(&["token", "delete", &unused.id]);
    reads.system.database.open().await;

    // The tables still have both.
    assert_eq!(reads.count("SELECT count(*) FROM directory.tokens").await, 3);
    assert_eq!(read(&reads, &kept).await, StatusCode::OK);
    for token in [&deleted, &unused] {
        assert_eq!(read(&reads, token).await, StatusCode::UNAUTHORIZED);
        assert_eq!(query(&reads, token).await, StatusCode::UNAUTHORIZED);
        reads.service.url.clone_from(&ingest.url);
        let (status, answer) = reads.upload(token, Form::new()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
        reads.service.url.clone_from(&reads_url);
    }
    let listed = reads.command(&["token", "list"]);
    assert_eq!(
        (&listed[0]["id"], listed.as_array().unwrap().len()),
        (&json!(kept.id), 1)
    );

    // Nor does a process that starts now admit them.
    for role in ["api", "ingest"] {
        let started = Service::start(BINARY, role, &reads.system).await;
        reads.service.url.clone_from(&started.url);
        let status = match role {
            "api" => read(&reads, &deleted).await,
            _ => reads.upload(&deleted, Form::new()).await.0,
        };
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{role}");
    }
    assert_eq!(reads.count("SELECT count(*) FROM directory.tokens").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_noticed_no_outage_refuse_what_was_deleted_in_it() {
    let installation = Installation::of(prepared().await, "api").await;
    let token = installation.token("1", "read", &[]);
    assert_eq!(read(&installation, &token).await, StatusCode::OK);
    installation.system.database.close().await;
    installation.command(&["token", "delete", &token.id]);
    installation.system.database.open().await;
    assert_eq!(read(&installation, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_deleted_is_not_deleted_again() {
    let installation = Installation::of(prepared().await, "api").await;
    let [token, other] = [(); 2].map(|()| installation.token("1", "read", &[]));
    installation.system.database.close().await;
    installation.command(&["token", "delete", &token.id]);
    let (code, _, errors) = testkit::try_command(BINARY, &["token", "delete", &token.id], &installation.system);
    assert!(code == Some(1) && errors.contains("was deleted at 20"), "{errors}");
    installation.system.database.open().await;
    // The table still has it, so it is deleted there.
    installation.command(&["token", "delete", &token.id]);
    assert_eq!(installation.count("SELECT count(*) FROM directory.tokens").await, 1);
    for command in ["delete", "rotate"] {
        let (code, _, errors) = testkit::try_command(BINARY, &["token", command, &token.id], &installation.system);
        assert!(
            code == Some(1) && errors.contains("was deleted at 20"),
            "{command}: {errors}"
        );
    }
    installation.command(&["token", "delete", &other.id]);
    let unknown = "00000000-0000-7000-8000-000000000000";
    let (code, _, errors) = testkit::try_command(BINARY, &["token", "delete", unknown], &installation.system);
    assert!(code == Some(1) && errors.contains("unknown token"), "{errors}");
}
