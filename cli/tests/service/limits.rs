//! Limits of requests, and headers that all answers have.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::{System, wait_until};
use tokio::task::JoinSet;

use crate::installation::{Installation, Token, newest_manifest, prepare, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_over_its_rate_limit_waits_and_others_do_not() {
    let mut system = System::start().await;
    for (name, value) in [("READS_PER_MINUTE", "5"), ("UPLOADS_PER_MINUTE", "2")] {
        system.variables.push((name.to_owned(), value.to_owned()));
    }
    let installation = Installation::of(prepare(system), "serve").await;
    let (busy, other) = (
        installation.token("1", "read,upload", &[]),
        installation.token("1", "read,upload", &[]),
    );
    let runs = "/api/v2/accounts/1/runs/";
    for _ in 0..5 {
        assert_eq!(installation.get(&busy, runs).await.0, StatusCode::OK);
    }
    let url = format!("{}{runs}", installation.service.url);
    let refused = installation
        .client
        .get(url)
        .bearer_auth(&busy.key)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["status"]["code"], 429, "{body}");
    assert_eq!(installation.get(&other, runs).await.0, StatusCode::OK);

    for _ in 0..2 {
        installation.upload_manifest(&busy, "run", newest_manifest()).await;
    }
    let (status, body) = installation.upload(&busy, reqwest::multipart::Form::new()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        body["errors"]["message"]
            .as_str()
            .unwrap()
            .contains("too many requests"),
        "{body}"
    );
    installation.upload_manifest(&other, "run", newest_manifest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_queries_are_limited_and_answers_have_security_headers() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let long = format!("/api/v2/accounts/1/runs/?pk={}", "1".repeat(9_000));
    assert_eq!(installation.get(&token, &long).await.0, StatusCode::URI_TOO_LONG);

    let url = format!("{}/api/v2/accounts/1/runs/", installation.service.url);
    let large = installation
        .client
        .get(&url)
        .header("X-Large", "x".repeat(300_000))
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut many = installation.client.get(&url);
    for number in 0..150 {
        many = many.header(format!("X-{number}"), "x");
    }
    assert_eq!(
        many.send().await.unwrap().status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );

    for path in [
        "/api/v2/accounts/1/runs/",
        "/api/v2/swaggerui/index.html",
        "/healthz/live",
        "/nowhere",
    ] {
        let request = installation.client.get(format!("{}{path}", installation.service.url));
        let answer = request
            .bearer_auth(&token.key)
            .header("Origin", "https://evil.example")
            .send()
            .await
            .unwrap();
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        let is_page = path.ends_with(".html");
        assert!(
            policy.contains(if is_page {
                "default-src 'self'"
            } else {
                "default-src 'none'"
            }),
            "{path}: {policy}"
        );
        assert!(
            headers.keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{path}: CORS is off"
        );
    }
    let preflight = installation
        .send(Method::OPTIONS, &token, "/api/v2/accounts/1/runs/")
        .await;
    assert_eq!(preflight.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_finish_their_headers_are_disconnected_and_block_nobody() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let address = installation.service.url.strip_prefix("http://").unwrap();
    let mut lorises: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for loris in &mut lorises {
        loris
            .write_all(b"GET /api/v2/accounts/1/runs/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .unwrap();
    }
    for _ in 0..20 {
        assert_eq!(
            installation.get(&token, "/api/v2/accounts/1/runs/").await.0,
            StatusCode::OK
        );
    }
    // The client reads until the server closes the connection.
    let cut = tokio::task::spawn_blocking(move || lorises[0].read_to_end(&mut Vec::new()));
    let waited = tokio::time::timeout(testkit::PATIENCE, cut).await;
    assert!(waited.is_ok(), "the connection is still open");
}

/// Stores a large file in a run of account 1, and returns its path for downloads.
async fn large_file(installation: &Installation, token: &Token, name: &str, file: Value, size: usize) -> String {
    let mut file = file;
    file["noise"] = "x".repeat(size).into();
    let file = serde_json::to_vec(&file).unwrap();
    installation.upload_manifest(token, "large", file).await;
    let path = format!("/api/v2/accounts/1/runs/1/artifacts/{name}");
    wait_until("the file can be downloaded", async || {
        (installation.send(Method::GET, token, &path).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answer_is_disconnected_and_makes_room() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let manifest = serde_json::from_slice(&newest_manifest()).unwrap();
    let path = large_file(&installation, &token, "manifest.json", manifest, 16 << 20).await;
    let address = installation.service.url.strip_prefix("http://").unwrap();
    // As many downloads as the service sends at once.
    let stalled: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            let key = &token.key;
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
            connection.write_all(head.as_bytes()).unwrap();
            let mut begin = [0; 12];
            connection.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200");
            connection
        })
        .collect();
    let (status, _) = installation.send(Method::GET, &token, &path).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    wait_until("there is room for another download", async || {
        (installation.send(Method::GET, &token, &path).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    drop(stalled);
}

/// The peak memory of the process, in MiB.
pub(crate) fn peak_resident(installation: &Installation) -> u64 {
    let status = format!("/proc/{}/status", installation.service.process_id());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn large_run_results_with_added_variables_share_limited_memory() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let results = testkit::repository_file("fixtures/run_results/v6-1.12.0-build.json");
    let results = serde_json::from_slice(&std::fs::read(results).unwrap()).unwrap();
    let path = large_file(&installation, &token, "run_results.json", results, 40 << 20).await;
    let before = peak_resident(&installation);
    let mut clients = JoinSet::new();
    for _ in 0..24 {
        let request = installation.client.get(format!("{}{path}", installation.service.url));
        let request = request.bearer_auth(&token.key);
        clients.spawn(async move { request.send().await.unwrap().bytes().await.unwrap().len() });
    }
    let sizes = clients.join_all().await;
    // The other clients were asked to try again later.
    let whole = sizes.iter().filter(|size| **size > 40 << 20).count();
    assert!(whole > 0, "{sizes:?}");
    let grown = peak_resident(&installation) - before;
    assert!(grown < 700, "{grown} MiB more for {whole} clients");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_stuck_database_time_out_and_the_service_stays_up() {
    let installation = Installation::of(prepared().await, "api").await;
    let token = installation.token("1", "read", &[]);
    let runs = "/api/v2/accounts/1/runs/";
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
    let open =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbt-api'";
    wait_until("all connections are open", async || {
        (installation.count(open).await >= 20).then_some(())
    })
    .await;
    let owner = installation.system.database.pool("dbt_api_projector");
    let mut locked = owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();

    // Each of the 20 connections is in use, sixteen times as many requests wait, and the others are refused.
    let (begun, mut clients) = (Instant::now(), JoinSet::new());
    for _ in 0..390 {
        let request = installation.client.get(format!("{}{runs}", installation.service.url));
        let request = request.bearer_auth(&token.key);
        clients.spawn(async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
            begun.elapsed()
        });
    }
    for _ in 0..50 {
        let waited = clients.join_next().await.unwrap().unwrap();
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'runs'::regclass AND NOT granted";
    wait_until("every connection is in use", async || {
        (installation.count(held).await == 20).then_some(())
    })
    .await;
    for path in ["/healthz/live", "/healthz/ready"] {
        let health = installation.client.get(format!("{}{path}", installation.service.url));
        let health = health.timeout(Duration::from_secs(2)).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK, "{path}");
    }
    // Waiting requests are refused before the others, which end after the 10 s that a statement may wait for a lock.
    let mut waits = clients.join_all().await;
    waits.sort_unstable();
    assert!(waits[315] < Duration::from_secs(9), "{waits:?}");
    assert!(waits[325] > Duration::from_secs(9), "{waits:?}");
    assert!(waits[339] < Duration::from_secs(50), "{waits:?}");
    let log = installation.service.log().join("\n");
    assert!(log.contains("lock timeout"), "{log}");
    locked.rollback().await.unwrap();
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_cancelled() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let owner = installation.system.database.pool("dbt_api_projector");
    sqlx::query("CREATE POLICY slow ON runs AS RESTRICTIVE FOR SELECT USING (pg_sleep(100) IS NOT NULL)")
        .execute(&owner)
        .await
        .unwrap();
    let runs = "/api/v2/accounts/1/runs/";
    let (status, answer) = installation.get(&token, runs).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let log = installation.service.log().join("\n");
    assert!(log.contains("statement timeout"), "{log}");
    sqlx::query("DROP POLICY slow ON runs").execute(&owner).await.unwrap();
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
}
