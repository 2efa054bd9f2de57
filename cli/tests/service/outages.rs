//! Services that are down.

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use testkit::s3::S3Server;
use testkit::{Gate, Passage, Service, System, try_command, wait_until};

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest, prepare, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_applies_uploads_that_nats_did_not_deliver() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    wait_until("the stream exists", async || {
        (installation.readiness().await["status"] == "ready").then_some(())
    })
    .await;
    installation.system.nats.stop();
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    // The next sweep comes within 30 s.
    installation.run_with_total(&token, "1", 1).await;
    let ready = installation.readiness().await;
    assert_eq!(ready["status"], "degraded");
    assert_eq!(ready["parts"]["stream"]["status"], "down");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_runs_alone_and_stops_on_request() {
    let system = prepared().await;
    let ingest = Service::start(BINARY, "ingest", &system).await;
    let projector = Service::start(BINARY, "projector", &system).await;
    let api = Service::start(BINARY, "api", &system).await;
    let client = Client::new();
    for (service, counter) in [
        (&ingest, "dbt_api_uploads_total{kind=\"none\",status=\"503\"} 0"),
        (&projector, "dbt_api_dead_letters_total 0"),
        (&api, "dbt_api_shed_total{group=\"reads\"} 0"),
    ] {
        wait_until("the role is ready", async || {
            let ready = client.get(format!("{}/healthz/ready", service.url)).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
        let metrics = client.get(format!("{}/metrics", service.url)).send().await.unwrap();
        assert_eq!(metrics.status(), StatusCode::OK);
        let metrics = metrics.text().await.unwrap();
        for line in [
            counter,
            "dbt_api_requests_total{group=\"v2\",status=\"503\"} 0",
            "dbt_api_build_info{version=",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
    }
    let mut installation = Installation {
        service: ingest,
        system,
        client,
    };
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let ingest = std::mem::replace(&mut installation.service, api);
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(ingest.stop().await, Some(0));
    assert_eq!(projector.stop().await, Some(0));
    assert_eq!(installation.service.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_continue_while_postgres_is_down_and_appear_afterwards() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    wait_until("the token is known without PostgreSQL", async || {
        let ready = installation.readiness().await;
        (ready["parts"]["directory"]["status"] == "ok").then_some(())
    })
    .await;

    installation.system.database.close().await;
    installation.upload_manifest(&token, "during", newest_manifest()).await;
    let url = format!("{}/api/v2/accounts/1/runs/", installation.service.url);
    let read = installation
        .client
        .get(url)
        .bearer_auth(&token.key)
        .send()
        .await
        .unwrap();
    assert_eq!(read.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(read.headers().contains_key("retry-after"));

    installation.system.database.open().await;
    installation.run_with_total(&token, "1", 2).await;
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_starts_without_postgres_and_nats_and_reads_tokens_from_the_journal() {
    let mut system = prepared().await;
    let made = Installation::of(system, "ingest").await;
    let (token, deleted) = (made.token("1", "read,upload", &[]), made.token("1", "upload", &[]));
    made.command(&["token", "delete", &deleted.id]);
    system = made.system;
    system.database.close().await;
    system.nats.stop();

    let mut installation = Installation::of(system, "ingest").await;
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let (status, _) = installation.upload(&deleted, reqwest::multipart::Form::new()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    installation.system.database.open().await;
    installation.system.nats.restart().await;
    let installation = Installation::of(installation.system, "serve").await;
    installation.run_with_total(&token, "1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_upload_does_not_block_others() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let lost = installation.upload_manifest(&token, "lost", newest_manifest()).await;
    let sha256 = lost["sha256"].as_str().unwrap();
    let artifact = format!("artifacts/1/sha256/{}/{sha256}.zst", &sha256[..2]);
    std::fs::remove_file(installation.system.storage().join(artifact)).unwrap();

    let installation = Installation::of(installation.system, "serve").await;
    let mut other: serde_json::Value = serde_json::from_slice(&newest_manifest()).unwrap();
    other["metadata"]["invocation_id"] = "00000000-0000-4000-8000-000000000001".into();
    let other = serde_json::to_vec(&other).unwrap();
    installation.upload_manifest(&token, "kept", other).await;
    installation.run_with_total(&token, "1", 1).await;
    wait_until("the dead letter exists", async || {
        (installation.count("SELECT count(*) FROM dead_letters").await == 1).then_some(())
    })
    .await;

    let letters = installation.command(&["dead-letters", "list", "--account", "1"]);
    assert!(letters[0]["cause"].as_str().unwrap().contains(sha256), "{letters}");
    let event = letters[0]["event_id"].as_str().unwrap();
    let shown = installation.command(&["dead-letters", "show", event]);
    assert_eq!(shown["event"]["data"]["run_id"], "lost");
    let (code, _, errors) = try_command(BINARY, &["dead-letters", "retry", event], &installation.system);
    assert!(
        code == Some(1) && errors.contains("1 of 1 are dead letters again"),
        "{errors}"
    );
    // The same content is uploaded again, so the event that needed it can be applied.
    installation.upload_manifest(&token, "again", newest_manifest()).await;
    let retried = installation.command(&["dead-letters", "retry", "--all"]);
    assert_eq!(retried["applied"], 1);
    installation.run_with_total(&token, "1", 3).await;
    assert_eq!(installation.command(&["dead-letters", "list"]), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_s3_and_readiness_reports_when_s3_is_down() {
    let mut s3 = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables = s3.variables("artifacts").unwrap();
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let run = installation.run_with_total(&token, "1", 1).await;
    let path = format!("/api/v2/accounts/1/runs/{}/artifacts/manifest.json", run["id"]);
    let (status, manifest) = installation.send(Method::GET, &token, &path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(manifest == newest_manifest());

    s3.stop().await;
    let form = reqwest::multipart::Form::new()
        .text("environment_slug", crate::installation::SLUG)
        .part("file", reqwest::multipart::Part::bytes(newest_manifest()));
    let (status, answer) = installation.upload(&token, form).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["errors"].is_object(), "{answer}");
    let (status, _) = installation.send(Method::GET, &token, &path).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let has_cause =
        |line: &&String| line.contains("answered 503") && line.contains("Connection refused (os error 111)");
    wait_until("the log has both causes", async || {
        let log = installation.service.log();
        (log.iter().filter(has_cause).count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        installation.get(&token, "/api/v2/accounts/1/runs/").await.0,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_overwrites_is_reported_and_takes_nothing() {
    let server = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables.extend(server.variables("artifacts").unwrap());
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    assert_eq!(installation.service.stop().await, Some(0));

    server.ignore_conditions(true);
    let installation = Installation::of(installation.system, "serve").await;
    let words = "ignores `If-None-Match: *`: use a store that supports conditional writes";
    wait_until("the log reports the bucket", async || {
        let log = installation.service.log();
        let reports = |line: &String| line.contains("ERROR") && line.contains(words);
        log.iter().any(reports).then_some(())
    })
    .await;
    let (status, answer) = installation.upload(&token, manifest_form("refused")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let (code, _, errors) = try_command(BINARY, &["account", "add", "Another"], &installation.system);
    assert!(code == Some(1) && errors.contains(words), "{errors}");

    server.ignore_conditions(false);
    let (status, answer) = installation.upload(&token, manifest_form("accepted")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    installation.run_with_total(&token, "1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_read_and_uploads_wait_for_its_end() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    // Nothing has noted their use yet.
    let (reader, uploader) = (
        installation.token("1", "read", &[]),
        installation.token("1", "upload", &[]),
    );

    installation.system.database.set_read_only(true).await;
    wait_until("the readiness says so", async || {
        let ready = installation.readiness().await;
        let error = ready["parts"]["database_writes"]["error"].as_str()?.to_owned();
        (error.contains("read-only") && ready["status"] == "degraded").then_some(())
    })
    .await;
    let (status, answer) = installation.get(&reader, "/api/v2/accounts/1/runs/").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    installation
        .upload_manifest(&uploader, "meanwhile", newest_manifest())
        .await;
    let log = installation.service.log();
    let is_copy_used = |line: &String| line.contains("using the copy in memory");
    assert!(!log.iter().any(is_copy_used), "{log:#?}");
    installation.system.database.set_read_only(false).await;
    installation.run_with_total(&token, "1", 2).await;
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

/// The form of an upload by dbt-coves.
fn manifest_form(run: &str) -> Form {
    Form::new()
        .text("environment_slug", SLUG)
        .text("run_id", run.to_owned())
        .part("file", Part::bytes(newest_manifest()).file_name("file"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_what_waits_and_what_cannot_be_reached() {
    let mut installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "waits", newest_manifest()).await;
    let status = |system: &System| {
        let (code, output, errors) = try_command(BINARY, &["status"], system);
        let output: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{errors}"));
        (code, output, errors)
    };
    let (code, output, errors) = status(&installation.system);
    assert_eq!(code, Some(0), "{errors}{output}");
    let waiting = &output["waiting"];
    assert_eq!(
        (&waiting["waiting_events"], &waiting["dead_letters"]),
        (&json!(1), &json!(0)),
        "{output}"
    );
    assert!(waiting["oldest_waiting"].is_string(), "{output}");
    let checked = installation.command(&["config", "check", "--connect"]);
    let attempts = checked["attempts"].as_array().unwrap();
    assert!(attempts.iter().all(|attempt| attempt["is_ok"] == true), "{checked}");

    installation.system.nats.stop();
    let (code, output, errors) = status(&installation.system);
    assert!(code == Some(1) && errors.contains("nats cannot be used"), "{errors}");
    let broken: Vec<&Value> = output["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part["is_ok"] == false)
        .collect();
    assert_eq!(broken.len(), 1, "{output}");
    assert_eq!(broken[0]["part"], "nats");
    let (code, _, errors) = try_command(BINARY, &["config", "check", "--connect"], &installation.system);
    assert!(code == Some(1) && errors.contains("can be used"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_do_not_each_wait_for_a_postgres_that_hangs() {
    let mut system = prepared().await;
    let gate = Gate::before(system.database.address()).await;
    let url = system.database.url_through(&gate.address);
    system.variables.push(("DB_URL".to_owned(), url));
    let mut installation = Installation::of(system, "ingest").await;
    // The commands reach the database, but the service does not.
    installation.system.variables.pop();
    let token = installation.token("1", "upload", &[]);
    let deleted = installation.token("1", "upload", &[]);
    for token in [&token, &deleted] {
        installation.upload_manifest(token, "before", newest_manifest()).await;
    }

    gate.set(Passage::Silent);
    let mut slow = 0;
    for number in 0..20 {
        let begun = Instant::now();
        let run = format!("run {number}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        slow += usize::from(begun.elapsed() >= Duration::from_millis(800));
    }
    // The first one waited. A busy machine may make others slow.
    assert!((1..10).contains(&slow), "{slow} uploads took more than 0.8 s");
    installation.command(&["token", "delete", &deleted.id]);
    let status = async |token: &Token| installation.upload(token, manifest_form("during")).await.0;
    assert_eq!(status(&deleted).await, StatusCode::UNAUTHORIZED);
    let issued = installation.token("1", "upload", &[]);
    assert_eq!(status(&issued).await, StatusCode::CREATED);
    let nowhere = Form::new()
        .text("environment_slug", "nowhere")
        .part("file", Part::bytes(newest_manifest()).file_name("file"));
    assert_eq!(
        installation.upload(&token, nowhere).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );

    gate.set(Passage::Open);
    wait_until("keys are looked up in PostgreSQL again", async || {
        let log = installation.service.log();
        log.iter()
            .any(|line| line.contains("looked up in PostgreSQL again"))
            .then_some(())
    })
    .await;
    assert_eq!(status(&token).await, StatusCode::CREATED);
    assert_eq!(status(&deleted).await, StatusCode::UNAUTHORIZED);
    // PostgreSQL alone does not know this one, so it was asked.
    let lost = installation.token("1", "upload", &[]);
    let pool = installation.system.database.pool("dbt_api_projector");
    let removed = sqlx::query("DELETE FROM directory.tokens WHERE id = $1::uuid").bind(&lost.id);
    assert_eq!(removed.execute(&pool).await.unwrap().rows_affected(), 1);
    assert_eq!(status(&lost).await, StatusCode::UNAUTHORIZED);
    let log = installation.service.log();
    let warned = log.iter().filter(|line| line.contains("to look up a key"));
    assert_eq!(warned.count(), 1, "{log:#?}");
}
