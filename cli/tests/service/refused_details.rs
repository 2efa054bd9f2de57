//! Refused uploads that say little by themselves.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::installation::{Installation, SLUG, Token};
use crate::output::run;
use crate::refused::{LIST, all_files, form, listed, not_of_dbt, refused};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retired_is_named() {
    let installation = Installation::start().await;
    let old = installation.add_environment("old");
    let token = installation.token("1", "upload", &[]);
    let of_another = installation.token("2", "upload", &[]);
    installation.command(&["environment", "retire", "--account", "1", "old"]);
    installation.command(&["account", "retire", "2"]);
    let manifest = || br#"{"metadata":{},"nodes":{},"macros":{}}"#.to_vec();
    let retired = form(Some("old"), "manifest.json", manifest());
    refused(&installation, &token, retired, StatusCode::UNPROCESSABLE_ENTITY).await;
    let path = format!("/api/private/accounts/1/environments/{old}/ingests/");
    let (status, _) = installation.send(Method::POST, &token, &path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let of_retired = form(Some(SLUG), "manifest.json", manifest());
    refused(&installation, &of_another, of_retired, StatusCode::UNAUTHORIZED).await;
    installation.command(&["account", "restore", "2"]);
    not_of_dbt(&installation, &of_another).await;

    let records = listed(&installation.system, 4).await;
    let facts = |record: &Value| {
        json!([
            record["token_id"],
            record["token_state"],
            record["environment"],
            record["environment_id"]
        ])
    };
    let found: Vec<Value> = records.iter().map(facts).collect();
    assert_eq!(
        found,
        [
            json!([token.id, "active", "old", old]),
            json!([token.id, "active", old.to_string(), old]),
            json!([of_another.id, "inactive", SLUG, 2]),
            json!([of_another.id, "active", SLUG, 2]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_routes_that_do_not_exist_are_kept() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let unknown = Token {
        id: String::new(),
        key: format!("{}x", token.key),
    };
    let (not_found, not_allowed) = (StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED);
    let signed = format!("/api/private/ingests/{}/", "x".repeat(300));
    for (method, path, status) in [
        (Method::POST, "/api/internal/manifest", not_found),
        (Method::PUT, "/api/v2/datacoves/manifests/", not_allowed),
        (Method::POST, "/api/v2/datacoves/environments/dev123/files/a", not_found),
        (
            Method::PATCH,
            "/api/v3/accounts/1/projects/1/environments/1/files/a",
            not_allowed,
        ),
        (Method::POST, &signed, not_allowed),
        (Method::POST, &format!("{signed}x"), not_found),
    ] {
        assert_eq!(installation.send(method, &token, path).await.0, status, "{path}");
    }
    // These are not uploads, or nobody's.
    for (method, token, path, status) in [
        (Method::GET, &token, "/api/internal/manifest", not_found),
        (
            Method::GET,
            &token,
            "/api/private/accounts/1/environments/1/ingests/",
            not_allowed,
        ),
        (Method::POST, &token, "/api/v2/accounts/1/runs/", not_allowed),
        (Method::POST, &token, "/api/private/other/", not_found),
        (Method::POST, &unknown, "/api/internal/manifest", not_found),
    ] {
        assert_eq!(installation.send(method, token, path).await.0, status, "{path}");
    }
    not_of_dbt(&installation, &token).await;

    let records = listed(&installation.system, 7).await;
    let facts = |record: &Value| json!([record["status"], record["route"], record["environment"], record["file"]]);
    let found: Vec<Value> = records.iter().map(facts).collect();
    let of_version_3 =
        "PATCH /api/v3/accounts/{account_id}/projects/{project_id}/environments/{environment_id}/files/{name}";
    assert_eq!(
        found,
        [
            json!([404, "POST /api/internal/manifest", null, null]),
            json!([405, "PUT /api/v2/datacoves/manifests", null, null]),
            json!([404, "POST /api/v2/datacoves/environments/dev123/files/a", null, null]),
            json!([405, of_version_3, "1", "a"]),
            json!([405, "POST /api/private/ingests/{signed}", null, null]),
            json!([404, "POST /api/private/ingests/…/x", null, null]),
            json!([422, "POST /api/internal/manifests", SLUG, "notes.json"]),
        ]
    );
    assert_eq!(records[0]["reason"], "this route does not exist");
    for record in &records {
        assert_eq!(record["token_id"], token.id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_try_again_and_again_do_not_hide_others() {
    let installation = Installation::start().await;
    let looping: Vec<Token> = (0..4).map(|_| installation.token("1", "upload", &[])).collect();
    let quiet = installation.token("1", "upload", &[]);
    // From now on, the service knows the tokens, so that nothing waits.
    for token in looping.iter().chain([&quiet]) {
        not_of_dbt(&installation, token).await;
    }
    listed(&installation.system, 5).await;
    let all = looping.iter().map(async |token| {
        for _ in 1..250 {
            not_of_dbt(&installation, token).await;
        }
    });
    join_all(all).await;
    not_of_dbt(&installation, &quiet).await;
    let (not_kept, of_tokens) = wait_until("the last one is kept", async || {
        let hours = all_files(&installation.system.storage().join("refused"));
        let hours: Vec<Value> = hours
            .iter()
            .filter_map(|bytes| serde_json::from_slice(bytes).ok())
            .collect();
        let records = hours.iter().flat_map(|hour| hour["records"].as_array().unwrap());
        let of_quiet = records.clone().filter(|record| record["token_id"] == quiet.id.as_str());
        let of_quiet = of_quiet.count();
        let not_kept: u64 = hours.iter().map(|hour| hour["not_kept"].as_u64().unwrap()).sum();
        let of_tokens = hours.iter().flat_map(|hour| hour["not_kept_of"].as_object().unwrap());
        let of_tokens: Vec<(String, Value)> = of_tokens.map(|(token, count)| (token.clone(), count.clone())).collect();
        (of_quiet == 2 && records.count() as u64 + not_kept == 1_002).then_some((not_kept, of_tokens))
    })
    .await;
    // Two objects, if an hour ended meanwhile, have room for all.
    if not_kept == 0 {
        return;
    }
    let counted: u64 = of_tokens.iter().map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!((not_kept, counted), (2, 2));
    let shown = run(&installation.system, &[LIST, &["--limit", "1"]].concat());
    assert!(shown.contains("2 more refused uploads of any account"), "{shown}");
    let status = installation.command(&["status"]);
    let status = status["refused"].as_array().unwrap();
    let refused_of = |id: &str| &status.iter().find(|row| row["token_id"] == id).unwrap()["refused"];
    for (token, _) in &of_tokens {
        assert!(looping.iter().any(|looping| looping.id == *token), "{token}");
        assert!(shown.contains(token.as_str()), "{shown}");
        assert_eq!(refused_of(token), 250);
    }
    assert_eq!(refused_of(&quiet.id), 2);
}
