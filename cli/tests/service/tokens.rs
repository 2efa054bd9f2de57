//! Tests of tokens.

use reqwest::StatusCode;
use testkit::{Service, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn every_process_refuses_a_deleted_token_at_its_next_request() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let other = Service::start(BINARY, "serve", &installation.system).await;
    let runs = "/api/v2/accounts/1/runs/";
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
    wait_until("the use of the token is recorded", async || {
        let listed = installation.command(&["token", "list", "--account", "1"]);
        assert_eq!(listed[0]["id"], token.id.as_str());
        listed[0]["last_used_at"].is_string().then_some(())
    })
    .await;

    installation.command(&["token", "delete", &token.id]);
    for _ in 0..2 {
        assert_eq!(installation.get(&token, runs).await.0, StatusCode::UNAUTHORIZED);
        let (status, _) = installation.upload(&token, reqwest::multipart::Form::new()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        installation.service.url.clone_from(&other.url);
    }
    assert_eq!(installation.command(&["token", "list"]), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_never_stored_or_logged() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    assert!(!installation.service.log().join("\n").contains(&token.key));
    let folder = installation.system.storage().to_string_lossy().into_owned();
    let found = std::process::Command::new("grep")
        .args(["-rl", &token.key, &folder])
        .output()
        .unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_expires_even_while_postgres_is_down() {
    let installation = Installation::start().await;
    let lasting = installation.token("1", "read,upload", &["--expires-in", "1d"]);
    let ended = installation.token("1", "read,upload", &["--expires-in", "0s"]);
    let runs = "/api/v2/accounts/1/runs/";
    assert_eq!(installation.get(&lasting, runs).await.0, StatusCode::OK);
    assert_eq!(installation.get(&ended, runs).await.0, StatusCode::UNAUTHORIZED);
    let listed = installation.command(&["token", "list"]);
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .all(|token| token["expires_at"].is_string()),
        "{listed}"
    );

    installation.system.database.close().await;
    installation.upload_manifest(&lasting, "run", newest_manifest()).await;
    let (status, _) = installation.upload(&ended, reqwest::multipart::Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    installation.system.database.open().await;
    let (code, _, errors) = testkit::try_command(
        BINARY,
        &["token", "create", "--account", "1", "--expires-in", "soon"],
        &installation.system,
    );
    assert!(code == Some(2) && errors.contains("90d"), "{errors}");
}
