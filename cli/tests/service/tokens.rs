//! Tests of tokens.

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use testkit::{Database, Service, System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, Token, newest_manifest, prepared};

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
        let (status, _) = installation.upload(&token, Form::new()).await;
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
    let (status, _) = installation.upload(&ended, Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    installation.system.database.open().await;
    let (code, _, errors) = testkit::try_command(
        BINARY,
        &["token", "create", "--account", "1", "--expires-in", "soon"],
        &installation.system,
    );
    assert!(code == Some(2) && errors.contains("90d"), "{errors}");
}

/// Rotates a token, and returns the new one with the whole output.
fn rotate(installation: &Installation, old: &Token, valid_for: &str) -> (Token, Value) {
    let rotated = installation.command(&["token", "rotate", &old.id, "--valid-for", valid_for]);
    let text = |field: &str| rotated[field].as_str().unwrap().to_owned();
    let new = Token {
        id: text("id"),
        key: text("key"),
    };
    (new, rotated)
}

/// Returns a token as `token list --all` shows it.
fn listed(installation: &Installation, id: &str) -> Value {
    let all = installation.command(&["token", "list", "--all"]);
    let found = all.as_array().unwrap().iter().find(|token| token["id"] == id);
    found.unwrap_or_else(|| panic!("{id}: {all}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_tokens_are_listed_with_their_last_use_if_all_are_wanted() {
    let installation = Installation::start().await;
    let bound = ["--environment", "dev123", "--expires-in", "1d"];
    let token = installation.token("1", "upload,read", &bound);
    let ended = installation.token("1", "read", &["--expires-in", "0s"]);
    let other = installation.token("2", "read", &[]);
    let runs = "/api/v2/accounts/1/runs/";
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
    let before = wait_until("the use of the token is recorded", async || {
        let token = listed(&installation, &token.id);
        token["last_used_at"].is_string().then_some(token)
    })
    .await;
    assert_eq!(
        (&before["state"], &before["deleted_at"]),
        (&json!("active"), &json!(null))
    );
    assert_eq!(listed(&installation, &ended.id)["state"], "expired");

    installation.command(&["token", "delete", &token.id]);
    let after = listed(&installation, &token.id);
    assert_eq!(after["state"], "deleted");
    assert!(after["deleted_at"].is_string(), "{after}");
    for field in ["account_id", "name", "scopes", "environment", "last_used_at"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
    assert!(
        after["issued_at"].is_string() && after["expires_at"].is_string(),
        "{after}"
    );
    let of_other = installation.command(&["token", "list", "--all", "--account", "2"]);
    assert_eq!(
        (&of_other[0]["id"], of_other.as_array().unwrap().len()),
        (&json!(other.id), 1)
    );
    let present = installation.command(&["token", "list", "--account", "1"]);
    assert_eq!(
        (&present[0]["id"], present.as_array().unwrap().len()),
        (&json!(ended.id), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tokens_of_a_rotation_are_valid_for_a_while() {
    let mut installation = Installation::start().await;
    let runs = "/api/v2/accounts/1/runs/";
    let old = installation.token("1", "read,upload", &["--environment", "dev123", "--expires-in", "90d"]);
    let before = listed(&installation, &old.id);
    let (new, rotated) = rotate(&installation, &old, "7d");
    assert_eq!(rotated["old_id"], old.id.as_str());
    for token in [&old, &new] {
        assert_eq!(installation.get(token, runs).await.0, StatusCode::OK);
    }
    let (old_row, new_row) = (listed(&installation, &old.id), listed(&installation, &new.id));
    for field in ["account_id", "name", "scopes", "environment", "state"] {
        assert_eq!(new_row[field], before[field], "{field}: {new_row}");
    }
    let time = |row: &Value, field: &str| {
        row[field]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    let days = |row: &Value| (time(row, "expires_at") - time(row, "issued_at")).num_hours() as f64 / 24.0;
    assert_eq!((days(&old_row).round(), days(&new_row).round()), (7.0, 90.0));
    assert_eq!(time(&old_row, "issued_at"), time(&before, "issued_at"));

    // An expiry never becomes later, and the token that comes next lives as long as the first one.
    let (next, _) = rotate(&installation, &old, "30d");
    assert_eq!(listed(&installation, &old.id)["expires_at"], old_row["expires_at"]);
    assert_eq!(days(&listed(&installation, &next.id)).round(), 90.0);

    // A token without an expiry gets one, and its successor has none.
    let lasting = installation.token("1", "read,upload", &[]);
    let (successor, rotated) = rotate(&installation, &lasting, "0s");
    assert_eq!(rotated["expires_at"], json!(null));
    assert_eq!(installation.get(&successor, runs).await.0, StatusCode::OK);
    assert_eq!(installation.get(&lasting, runs).await.0, StatusCode::UNAUTHORIZED);
    let (code, _, errors) = try_command(BINARY, &["token", "rotate", &lasting.id], &installation.system);
    assert!(code == Some(1) && errors.contains("expired at"), "{errors}");
    installation.command(&["token", "delete", &successor.id]);
    let (code, _, errors) = try_command(BINARY, &["token", "rotate", &successor.id], &installation.system);
    assert!(code == Some(1) && errors.contains("was deleted at"), "{errors}");

    // A process that starts without PostgreSQL reads the same from the bucket.
    installation.system.database.close().await;
    installation.service = Service::start(BINARY, "ingest", &installation.system).await;
    installation.upload_manifest(&old, "run", newest_manifest()).await;
    installation.upload_manifest(&new, "run", newest_manifest()).await;
    let (status, _) = installation.upload(&lasting, Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    // So does a database that is restored from the bucket.
    installation.system.database.open().await;
    let expiries = |installation: &Installation| -> Vec<Value> {
        let tokens = installation.command(&["token", "list"]);
        let tokens = tokens.as_array().unwrap().iter();
        tokens
            .map(|token| json!([token["id"], token["issued_at"], token["expires_at"]]))
            .collect()
    };
    let all = expiries(&installation);
    installation.system.database = Database::create_empty().await;
    let (code, output, _) = try_command(BINARY, &["recover"], &System::start().await);
    assert_eq!(code, Some(1), "{output}");
    run_command(BINARY, &["recover"], &installation.system);
    assert_eq!(expiries(&installation), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_admitted_while_the_database_does_not_have_them_yet() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let (valid, deleted) = (
        installation.token("1", "read,upload", &[]),
        installation.token("1", "read,upload", &[]),
    );
    // Both are in the copy in memory, which is also loaded for an environment that is not known.
    let file = Part::bytes(newest_manifest()).file_name("file");
    let form = Form::new().text("environment_slug", "unknown").part("file", file);
    assert_eq!(
        installation.upload(&valid, form).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    installation.command(&["token", "delete", &deleted.id]);
    // As during a `recover`: there are tables, but not all events were applied to them.
    let mut database = PgConnection::connect_with(&installation.system.database.options())
        .await
        .unwrap();
    let lose = "DELETE FROM directory.tokens; DELETE FROM directory.ledger";
    database.execute(lose).await.unwrap();
    installation.upload_manifest(&valid, "run", newest_manifest()).await;
    let (status, answer) = installation.upload(&deleted, Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    // A process that starts now reads the bucket.
    let system = installation.system;
    let installation = Installation::of(system, "ingest").await;
    installation.upload_manifest(&valid, "run", newest_manifest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_be_deleted_while_postgres_is_down() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.system.database.close().await;
    installation.command(&["token", "delete", &token.id]);
    let (status, _) = installation.upload(&token, Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    installation.system.database.open().await;
    wait_until("the sweep deletes it in the table", async || {
        (installation.command(&["token", "list"]) == json!([])).then_some(())
    })
    .await;
}
