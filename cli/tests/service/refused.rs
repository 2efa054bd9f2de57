//! Uploads that are refused can be seen afterwards.

use std::path::Path;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::s3::S3Server;
use testkit::{Service, System, wait_until};

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest, prepare, prepared};
use crate::verified;

pub(crate) const LIST: &[&str] = &["uploads", "list", "--refused"];

/// Waits until this number of refused uploads is listed.
pub(crate) async fn listed(system: &System, number: usize) -> Vec<Value> {
    wait_until("the refused uploads are listed", async || {
        let listed = testkit::run_command(BINARY, LIST, system);
        let listed = listed.as_array().unwrap();
        assert!(listed.len() <= number, "{listed:?}");
        (listed.len() == number).then(|| listed.clone())
    })
    .await
}

pub(crate) fn form(environment: Option<&str>, name: &str, content: Vec<u8>) -> Form {
    let form = Form::new();
    let form = match environment {
        Some(slug) => form.text("environment_slug", slug.to_owned()),
        None => form,
    };
    form.part("file", Part::bytes(content).file_name(name.to_owned()))
}

pub(crate) async fn refused(installation: &Installation, token: &Token, form: Form, status: StatusCode) {
    let (answered, answer) = installation.upload(token, form).await;
    assert_eq!(answered, status, "{answer}");
}

/// Uploads something that is not dbt's, to the environment that both accounts have.
pub(crate) async fn not_of_dbt(installation: &Installation, token: &Token) {
    let form = form(Some(SLUG), "notes.json", b"[1, 2]".to_vec());
    refused(installation, token, form, StatusCode::UNPROCESSABLE_ENTITY).await;
}

pub(crate) fn all_files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                all_files(&path)
            } else {
                vec![std::fs::read(path).unwrap()]
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_say_which_failed_and_why_and_whose() {
    let mut system = prepared().await;
    system
        .variables
        .push(("MAX_UPLOAD_BYTES".to_owned(), "1000".to_owned()));
    let installation = Installation::of(system, "serve").await;
    let other = installation.add_environment("other").to_string();
    let deleted = installation.token("1", "upload", &[]);
    let expired = installation.token("1", "upload", &["--expires-in", "0s", "--environment", "other"]);
    let reader = installation.token("1", "read", &[]);
    let bound = installation.token("1", "upload", &["--environment", "other"]);
    let uploader = installation.token("1", "upload", &[]);
    let of_another = installation.token("2", "upload", &[]);
    installation.command(&["token", "delete", &deleted.id]);

    let small = || b"{\"a\": 1}".to_vec();
    let unknown = Token {
        id: String::new(),
        key: format!("{}x", uploader.key),
    };
    for token in [&unknown, &deleted, &expired] {
        refused(
            &installation,
            token,
            form(Some(SLUG), "a", small()),
            StatusCode::UNAUTHORIZED,
        )
        .await;
    }
    for token in [&reader, &bound] {
        let status = if token.id == bound.id {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::FORBIDDEN
        };
        refused(&installation, token, form(None, "b", small()), status).await;
    }
    let (status, _) = installation
        .send(
            Method::DELETE,
            &bound,
            &format!("/api/v2/datacoves/environments/{SLUG}/files?tag=x"),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let large = form(Some(SLUG), "large.json", newest_manifest());
    refused(&installation, &uploader, large, StatusCode::PAYLOAD_TOO_LARGE).await;
    not_of_dbt(&installation, &of_another).await;
    let manifest = br#"{"metadata":{},"nodes":{},"macros":{}}"#.to_vec();
    let nowhere = form(Some("nowhere"), "manifest.json", manifest.clone());
    refused(&installation, &uploader, nowhere, StatusCode::UNPROCESSABLE_ENTITY).await;
    let path = "/api/private/accounts/1/environments/99/ingests/";
    let (status, _) = installation.send(Method::POST, &uploader, path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let accepted = form(Some(SLUG), "manifest.json", manifest);
    assert_eq!(installation.upload(&uploader, accepted).await.0, StatusCode::CREATED);

    let records = listed(&installation.system, 9).await;
    let other_id: i64 = other.parse().unwrap();
    let facts = |record: &Value| {
        json!([
            record["status"],
            record["account_id"],
            record["token_id"],
            record["token_state"],
            record["environment"],
            record["environment_id"],
            record["file"],
        ])
    };
    let found: Vec<Value> = records.iter().map(facts).collect();
    assert_eq!(
        found,
        [
            json!([401, 1, deleted.id, "deleted", SLUG, 1, "a"]),
            json!([401, 1, expired.id, "expired", SLUG, 1, "a"]),
            json!([403, 1, reader.id, "active", null, null, "b"]),
            json!([422, 1, bound.id, "active", null, other_id, "b"]),
            json!([403, 1, bound.id, "active", SLUG, 1, null]),
            json!([413, 1, uploader.id, "active", SLUG, 1, "large.json"]),
            json!([422, 2, of_another.id, "active", SLUG, 2, "notes.json"]),
            json!([422, 1, uploader.id, "active", "nowhere", null, "manifest.json"]),
            json!([404, 1, uploader.id, "active", "99", null, null]),
        ]
    );
    for (index, beginning) in [
        (0, "the token was deleted at 20"),
        (1, "the token expired at 20"),
        (2, "the token does not allow uploads"),
        (5, "the file is larger than 1000 bytes"),
        (6, "invalid `file`: the file is not an artifact"),
        (7, "invalid `environment_slug`: `nowhere` is not an active environment"),
    ] {
        let reason = records[index]["reason"].as_str().unwrap();
        assert!(reason.starts_with(beginning), "{reason}");
    }
    let record = &records[7];
    assert_eq!(record["token_name"], "test");
    assert_eq!(record["route"], "POST /api/internal/manifests");
    assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    assert!(record["size"].as_u64().unwrap() > 100, "{record}");
    let request = record["request_id"].as_str().unwrap();
    let log = installation.service.log();
    let lines: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("an upload was refused"))
        .collect();
    assert_eq!(lines.len(), 9, "{lines:?}");
    assert!(
        lines[7].contains("WARN") && lines[7].contains(request) && lines[7].contains("nowhere"),
        "{}",
        lines[7]
    );

    let of = |more: &[&str]| {
        let listed = installation.command(&[LIST, more].concat());
        listed.as_array().unwrap().len()
    };
    assert_eq!(of(&["--account", "2"]), 1);
    assert_eq!(of(&["--environment", SLUG]), 5);
    assert_eq!(of(&["--environment", &other]), 1);
    assert_eq!(of(&["--from", "2h", "--limit", "4"]), 4);
    assert_eq!(of(&["--to", "2h"]), 0);
    assert_eq!(installation.command(&["uploads", "list"]).as_array().unwrap().len(), 9);

    let status = installation.command(&["status"]);
    let of_uploader = status["refused"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["token_id"] == uploader.id.as_str());
    let of_uploader = of_uploader.unwrap();
    assert_eq!(of_uploader["refused"], 3);
    assert_eq!(of_uploader["last_status"], 404);

    let metrics = installation.client.get(format!("{}/metrics", installation.service.url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let counted = format!(
        "dbt_api_refused_uploads_total{{status=\"413\",account=\"1\",token=\"{}\"}} 1",
        uploader.id
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_the_refused_uploads_of_its_account_and_environment() {
    let installation = Installation::start().await;
    installation.add_environment("other");
    let own = installation.token("1", "read,upload", &[]);
    let bound = installation.token("1", "read,upload", &["--environment", "other"]);
    let of_another = installation.token("2", "read,upload", &[]);
    let upload_only = installation.token("1", "upload", &[]);
    not_of_dbt(&installation, &own).await;
    let content = || b"text".to_vec();
    for (token, environment) in [(&own, "other"), (&bound, "other")] {
        let form = form(Some(environment), "c", content());
        refused(&installation, token, form, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    not_of_dbt(&installation, &of_another).await;
    listed(&installation.system, 4).await;

    let path = |account: &str, query: &str| format!("/api/v3/accounts/{account}/refused-uploads/{query}");
    let (status, all) = installation.get(&own, &path("1", "")).await;
    assert_eq!(status, StatusCode::OK, "{all}");
    assert_eq!(all["extra"]["pagination"], json!({ "count": 3, "total_count": 3 }));
    let tokens: Vec<&Value> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["token_id"])
        .collect();
    assert_eq!(tokens, [&json!(bound.id), &json!(own.id), &json!(own.id)]);
    let (_, page) = installation.get(&own, &path("1", "?limit=1&offset=2")).await;
    assert_eq!(page["data"], json!([all["data"][2]]));
    assert_eq!(page["extra"]["pagination"], json!({ "count": 1, "total_count": 3 }));
    let (_, of_first) = installation.get(&own, &path("1", "?environment_id=1")).await;
    assert_eq!(of_first["data"], json!([all["data"][2]]));
    let (_, of_bound) = installation.get(&bound, &path("1", "")).await;
    assert_eq!(of_bound["data"], json!([all["data"][0], all["data"][1]]));
    let (_, nothing) = installation.get(&bound, &path("1", "?environment_id=1")).await;
    assert_eq!(nothing["data"], json!([]));
    let (_, others) = installation.get(&of_another, &path("2", "")).await;
    assert_eq!(others["data"].as_array().unwrap().len(), 1, "{others}");
    assert_eq!(
        installation.get(&of_another, &path("1", "")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        installation.get(&upload_only, &path("1", "")).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hostile_clients_send_is_shortened_and_escaped() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let hostile = format!("\u{1b}[31m\r\n\u{202e}{}", "x".repeat(900));
    let form = Form::new()
        .text("filename", hostile.clone())
        .part("file", Part::bytes(b"text".to_vec()).file_name("d"));
    let url = format!(
        "{}/api/v3/accounts/1/projects/1/environments/1/files",
        installation.service.url
    );
    let request = installation.client.post(url).bearer_auth(&token.key).multipart(form);
    let request = request.header("User-Agent", "x".repeat(5_000));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    let form = self::form(
        Some(&hostile),
        "e",
        br#"{"metadata":{},"nodes":{},"macros":{}}"#.to_vec(),
    );
    refused(&installation, &token, form, StatusCode::UNPROCESSABLE_ENTITY).await;

    let records = listed(&installation.system, 2).await;
    let beginning = "\\u{1b}[31m\\r\\n\\u{202e}xxx";
    for text in [&records[0]["file"], &records[1]["environment"]] {
        let text = text.as_str().unwrap();
        assert!(text.starts_with(beginning) && text.ends_with("x…"), "{text}");
        assert!(text.len() < 250, "{text}");
    }
    assert_eq!(records[0]["user_agent"].as_str().unwrap().chars().count(), 201);
    for record in &records {
        let reason = record["reason"].as_str().unwrap();
        assert!(!reason.chars().any(char::is_control), "{reason}");
        assert!(reason.chars().count() < 700, "{reason}");
    }
    for bytes in all_files(&installation.system.storage().join("refused")) {
        let text = String::from_utf8(bytes).unwrap();
        let is_raw = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
        assert!(!text.contains(is_raw), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_tries_again_and_again_does_not_fill_the_bucket() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let path = "/api/private/accounts/1/environments/1/ingests/";
    for _ in 0..260 {
        let (status, _) = installation.send(Method::POST, &token, path).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    wait_until("all are kept or counted", async || {
        let hours = all_files(&installation.system.storage().join("refused"));
        let hours = hours
            .iter()
            .filter_map(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let (mut kept, mut not_kept) = (0, 0);
        for hour in hours {
            let of_hour = hour["records"].as_array().unwrap().len();
            assert!(of_hour <= 250, "{of_hour}");
            kept += of_hour;
            not_kept += usize::try_from(hour["not_kept"].as_u64().unwrap()).unwrap();
        }
        (kept + not_kept == 260).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_are_kept_while_postgres_is_down() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let deleted = installation.token("1", "upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.command(&["token", "delete", &deleted.id]);
    wait_until("the token is known without PostgreSQL", async || {
        let ready = installation.readiness().await;
        (ready["parts"]["directory"]["status"] == "ok").then_some(())
    })
    .await;
    installation.system.database.close().await;
    not_of_dbt(&installation, &token).await;
    let form = form(Some(SLUG), "f", b"text".to_vec());
    refused(&installation, &deleted, form, StatusCode::UNAUTHORIZED).await;
    let records = listed(&installation.system, 2).await;
    assert_eq!(records[0]["token_id"], token.id.as_str());
    assert_eq!(records[1]["token_state"], "deleted");
    installation.system.database.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_are_kept_while_the_bucket_is_down() {
    let mut s3 = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables = s3.variables("artifacts").unwrap();
    let installation = Installation::of(prepare(system), "ingest").await;
    let token = installation.token("1", "upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    s3.stop().await;
    not_of_dbt(&installation, &token).await;
    let form = form(Some(SLUG), "manifest.json", newest_manifest());
    refused(&installation, &token, form, StatusCode::SERVICE_UNAVAILABLE).await;
    wait_until("the log says so", async || {
        let log = installation.service.log();
        log.iter()
            .any(|line| line.contains("cannot write refused uploads"))
            .then_some(())
    })
    .await;
    s3.restart().await.unwrap();
    let records = listed(&installation.system, 2).await;
    assert_eq!(
        [&records[0]["status"], &records[1]["status"]],
        [&json!(422), &json!(503)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_keeps_its_refused_uploads_and_writes_the_last_when_it_ends() {
    let system = prepared().await;
    let other = Service::start(BINARY, "ingest", &system).await;
    let mut installation = Installation::of(system, "ingest").await;
    let token = installation.token("1", "upload", &[]);
    not_of_dbt(&installation, &token).await;
    let first = std::mem::replace(&mut installation.service, other);
    not_of_dbt(&installation, &token).await;
    assert_eq!(first.stop().await, Some(0));
    let system = installation.system;
    assert_eq!(installation.service.stop().await, Some(0));
    // Nothing is waited for any more.
    let listed = testkit::run_command(BINARY, LIST, &system);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert!(all_files(&system.storage().join("refused")).len() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_zip_and_a_token_of_datacoves_are_known() {
    let (installation, datacoves) = verified::start("300", &[]).await;
    let verified = datacoves.admit("key-of-datacoves", json!({ "account_ids": [1, 2] }));
    let form = self::form(
        Some("nowhere"),
        "g",
        br#"{"metadata":{},"nodes":{},"macros":{}}"#.to_vec(),
    );
    refused(&installation, &verified, form, StatusCode::UNPROCESSABLE_ENTITY).await;
    let own = installation.token("1", "upload", &[]);
    let path = "/api/private/accounts/1/environments/1/ingests/";
    let (_, body) = installation.send(Method::POST, &own, path).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (_, signed) = body["data"]["upload_url"]
        .as_str()
        .unwrap()
        .split_once("/api/")
        .unwrap();
    let url = format!("{}/api/{signed}", installation.service.url);
    let put = async || {
        let answer = installation.client.put(&url).body("no zip").send().await.unwrap();
        answer.status()
    };
    assert_eq!(put().await, StatusCode::UNPROCESSABLE_ENTITY);
    installation.command(&["token", "delete", &own.id]);
    assert_eq!(put().await, StatusCode::FORBIDDEN);
    let form = self::form(None, "h", b"text".to_vec());
    let nobody = Token {
        id: String::new(),
        key: "nobody-knows-this".to_owned(),
    };
    refused(&installation, &nobody, form, StatusCode::UNAUTHORIZED).await;

    let mut records = listed(&installation.system, 3).await;
    // The one of Datacoves has several accounts, so it belongs to none, and its token has no name.
    let of_datacoves = records.remove(0);
    assert_eq!(of_datacoves["account_id"], Value::Null);
    assert_eq!(of_datacoves["token_name"], Value::Null);
    assert!(of_datacoves["token_id"].is_string());
    for (record, state) in records.iter().zip(["active", "deleted"]) {
        assert_eq!(record["token_id"], own.id.as_str());
        assert_eq!((&record["environment_id"], &record["size"]), (&json!(1), &json!(6)));
        assert_eq!(record["token_state"], state);
        assert_eq!(record["route"], "PUT /api/private/ingests/{signed}");
    }
}
