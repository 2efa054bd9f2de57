//! Uploads by dbt itself: it asks for a URL and sends a zip file to it.

use std::fmt::Write as _;
use std::io::Write;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{repository_file, wait_until};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::installation::{Installation, Token, newest_manifest, prepared};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(repository_file("fixtures").join(name)).unwrap()
}

fn zip(method: CompressionMethod, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn build() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("semantic_manifest.json", fixture("semantic_manifest/1.12.0.json")),
        ("manifest.json", newest_manifest()),
        ("run_results.json", fixture("run_results/v6-1.12.0-build.json")),
        ("graph.gpickle", vec![0x80, 0x04, 0x95]),
    ]
}

/// Sends a request as dbt does.
async fn send(installation: &Installation, method: Method, token: &Token, path: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", installation.service.url);
    let request = installation.client.request(method, url);
    let request = request.header("Authorization", format!("Token {}", token.key));
    let answer = request.header("X-Invocation-Id", "random").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Returns the URL for the zip file. In tests the service does not know its port, so the host is replaced.
async fn begin(installation: &Installation, token: &Token) -> String {
    begin_in(installation, token, 1).await
}

async fn begin_in(installation: &Installation, token: &Token, environment: i64) -> String {
    let path = format!("/api/private/accounts/1/environments/{environment}/ingests/");
    let (status, answer) = send(installation, Method::POST, token, &path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let url = answer["data"]["upload_url"].as_str().unwrap();
    assert!(url.starts_with("http://localhost"), "{url}");
    let (_, path) = url.split_once("/api/").unwrap();
    format!("{}/api/{path}", installation.service.url)
}

/// Uploads files as dbt does, and expects success.
pub(crate) async fn put_zip(installation: &Installation, token: &Token, environment: i64, files: &[(String, Vec<u8>)]) {
    let url = begin_in(installation, token, environment).await;
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.clone()))
        .collect();
    let (status, answer) = put(installation, &url, zip(CompressionMethod::Stored, &files)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn put(installation: &Installation, url: &str, zip: Vec<u8>) -> (StatusCode, Value) {
    let answer = installation.client.put(url).body(zip).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn dbt_uploads_all_artifacts_of_a_command_together() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let url = begin(&installation, &token).await;
    let stored = zip(CompressionMethod::Stored, &build());
    for _ in 0..2 {
        // The zip is sent twice, as after a lost answer.
        let (status, kept) = put(&installation, &url, stored.clone()).await;
        assert_eq!(status, StatusCode::OK, "{kept}");
        assert_eq!(kept["data"]["files"].as_array().unwrap().len(), 4);
    }
    let permission = url.rsplit('/').next().unwrap();
    assert!(!installation.service.log().iter().any(|line| line.contains(permission)));
    let end = "/api/private/accounts/1/environments/1/ingests/some-id/";
    let (status, _) = send(&installation, Method::PATCH, &token, end).await;
    assert_eq!(status, StatusCode::NO_CONTENT);

    let run = installation.run_with_total(&token, "1", 1).await;
    assert_eq!(run["status"], 20);
    let path = "/api/v2/accounts/1/runs/1/?include_related=run_steps";
    let (_, run) = installation.get(&token, path).await;
    assert_eq!(run["data"]["run_steps"].as_array().unwrap().len(), 1);
    let (_, names) = installation.get(&token, "/api/v2/accounts/1/runs/1/artifacts/").await;
    assert_eq!(
        names["data"],
        json!([
            "graph.gpickle",
            "manifest.json",
            "run_results.json",
            "semantic_manifest.json"
        ])
    );
    let (_, pickle) = installation
        .send(Method::GET, &token, "/api/v2/accounts/1/runs/1/artifacts/graph.gpickle")
        .await;
    assert_eq!(pickle, [0x80, 0x04, 0x95]);

    let docs = vec![
        ("catalog.json", fixture("catalog/v1-1.12.0.json")),
        ("run_results.json", fixture("run_results/v6-1.12.0-docs-generate.json")),
    ];
    let url = begin(&installation, &token).await;
    let (status, _) = put(&installation, &url, zip(CompressionMethod::Deflated, &docs)).await;
    assert_eq!(status, StatusCode::OK);
    let run = installation.run_with_total(&token, "1", 2).await;
    assert_eq!(run["has_docs_generated"], true);
    assert_eq!(run["status"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_the_zip_is_the_log_of_its_step() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let mut log = String::new();
    for number in 0..3_000 {
        writeln!(log, "09:00:00 line {number} of orders").unwrap();
    }
    let mut log = log.into_bytes();
    log.extend(b"\xff\0 <script>\n");
    let mut files = build();
    files.push(("dbt.log", log.clone()));
    let url = begin(&installation, &token).await;
    let (status, _) = put(&installation, &url, zip(CompressionMethod::Deflated, &files)).await;
    assert_eq!(status, StatusCode::OK);
    installation.run_with_total(&token, "1", 1).await;

    let get = async |path: &str| {
        let (status, answer) = installation.get(&token, &format!("/api/v2/accounts/1/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        answer["data"].clone()
    };
    let run = get("runs/1/?include_related=run_steps").await;
    let step = &run["run_steps"][0];
    let end = step["logs"].as_str().unwrap();
    assert_eq!(end.lines().count(), 1_000);
    assert!(end.starts_with("09:00:00 line 2001 of orders\n"), "{end:.100}");
    assert!(end.ends_with("\u{fffd}\0 <script>\n"));
    assert_eq!(
        (&step["debug_logs"], &step["truncated_debug_logs"]),
        (&step["logs"], &step["logs"])
    );
    let path = format!("steps/{}/", step["id"]);
    assert_eq!(get(&path).await["logs"], step["logs"]);
    for path in [
        &format!("{path}?include_related=debug_logs"),
        "runs/1/?include_related=[\"debug_logs\"]",
    ] {
        let answer = get(path).await;
        let whole = answer.get("run_steps").map_or(&answer, |steps| &steps[0]);
        assert_eq!(whole["debug_logs"], String::from_utf8_lossy(&log).as_ref(), "{path}");
        assert_eq!(whole["logs"], step["logs"]);
    }
    let list = get("runs/?include_related=run_steps,debug_logs").await;
    assert_eq!(list[0]["run_steps"][0]["logs"], Value::Null);
    assert_eq!(get("runs/1/").await["run_steps"], json!([]));

    let url = format!(
        "{}/api/v2/accounts/1/runs/1/artifacts/dbt.log",
        installation.service.url
    );
    let file = installation
        .client
        .get(url)
        .bearer_auth(&token.key)
        .send()
        .await
        .unwrap();
    assert_eq!(file.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(file.bytes().await.unwrap() == log);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_folders_are_accepted_and_do_not_affect_others() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let parquet: Vec<u8> = b"PAR1".iter().copied().chain(0..=255).collect();
    let broken = b"PAR1 a broken table PAR1";
    let files = [
        ("info_schema/v1/x.parquet", parquet.clone()),
        ("info_schema/v1/y.parquet", broken.to_vec()),
        ("old/manifest.json", b"no JSON".to_vec()),
        ("manifest.json", newest_manifest()),
        ("run_results.json", fixture("run_results/v6-1.12.0-build.json")),
    ];
    let mut zip = zip(CompressionMethod::Stored, &files);
    let at = zip.windows(broken.len()).position(|bytes| bytes == broken).unwrap();
    zip[at] = b'p';
    let url = begin(&installation, &token).await;
    let (status, kept) = put(&installation, &url, zip).await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    let left_out = &kept["data"]["left_out"];
    assert_eq!(left_out.as_array().unwrap().len(), 1, "{left_out}");
    assert_eq!(left_out[0]["name"], "info_schema/v1/y.parquet");
    assert!(left_out[0]["reason"].is_string(), "{left_out}");
    wait_until("the log names the file", async || {
        let log = installation.service.log();
        log.iter()
            .any(|line| line.contains("info_schema/v1/y.parquet"))
            .then_some(())
    })
    .await;

    let run = installation.run_with_total(&token, "1", 1).await;
    assert_eq!(run["status"], 20);
    let artifacts = "/api/v2/accounts/1/runs/1/artifacts/";
    let (_, names) = installation.get(&token, artifacts).await;
    assert_eq!(
        names["data"],
        json!([
            "info_schema/v1/x.parquet",
            "manifest.json",
            "old/manifest.json",
            "run_results.json"
        ])
    );
    for (name, content) in [
        ("info_schema/v1/x.parquet", parquet),
        ("old/manifest.json", b"no JSON".to_vec()),
        ("manifest.json", newest_manifest()),
    ] {
        let path = format!("{artifacts}{name}");
        let (status, sent) = installation.send(Method::GET, &token, &path).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert!(sent == content, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_permitted_tokens_get_a_url_and_only_valid_zips_are_kept() {
    let mut system = prepared().await;
    system
        .variables
        .push(("MAX_UPLOAD_BYTES".to_owned(), "2000000".to_owned()));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "upload", &[]);
    let (other, reader) = (
        installation.token("2", "upload", &[]),
        installation.token("1", "read", &[]),
    );
    for (token, path, expected) in [
        (&other, "1/environments/1", 404),
        (&other, "2/environments/1", 404),
        (&token, "1/environments/2", 404),
        (&token, "1/environments/x", 404),
        (&reader, "1/environments/1", 403),
    ] {
        let path = format!("/api/private/accounts/{path}/ingests/");
        let (status, answer) = send(&installation, Method::POST, token, &path).await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(answer["status"]["code"], expected);
        assert!(answer["status"]["user_message"].is_string());
    }

    let url = begin(&installation, &token).await;
    let bad = |files: &[(&str, Vec<u8>)]| zip(CompressionMethod::Deflated, files);
    for (body, expected, words) in [
        (b"no zip".to_vec(), 422, "not a readable zip"),
        (bad(&[]), 422, "expected at least one file in the zip"),
        (
            bad(&[("../manifest.json", newest_manifest())]),
            422,
            "expected relative paths",
        ),
        (
            bad(&[
                ("a/x.parquet", b"PAR1".to_vec()),
                ("manifest.json", b"no JSON".to_vec()),
            ]),
            422,
            "`manifest.json` in the zip is not a manifest: the file is not JSON",
        ),
        (bad(&[("bomb.json", vec![b' '; 30 << 20])]), 413, "2000000"),
        (vec![0; 4_000_000], 413, "2000000"),
    ] {
        let (status, answer) = put(&installation, &url, body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["errors"].to_string().contains(words), "{answer}");
    }
    let (status, _) = put(&installation, &format!("{url}0"), bad(&build())).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a URL that was changed");
    installation.command(&["token", "delete", &token.id]);
    let (status, _) = put(&installation, &url, bad(&build())).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a token that was deleted");
    assert_eq!(installation.count("SELECT count(*) FROM artifacts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_a_url_count_against_the_rate_limit_of_its_token() {
    let mut system = prepared().await;
    system.variables.push(("UPLOADS_PER_MINUTE".to_owned(), "3".to_owned()));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "upload", &[]);
    let url = begin(&installation, &token).await;
    let stored = zip(CompressionMethod::Stored, &build());
    for _ in 0..2 {
        assert_eq!(put(&installation, &url, stored.clone()).await.0, StatusCode::OK);
    }
    let (status, answer) = put(&installation, &url, stored).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dbt_defers_to_the_newest_manifest_without_a_token() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let latest = "/api/private/accounts/1/projects/1/manifest/latest/";
    let (status, answer) = installation.get(&token, latest).await;
    assert_eq!(
        (status, &answer["status"]["code"]),
        (StatusCode::NOT_FOUND, &json!(404))
    );
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    for path in [latest, "/api/private/accounts/1/projects/1/manifest/1/"] {
        let href = wait_until("the manifest exists", async || {
            let (status, answer) = installation.get(&token, path).await;
            (status == StatusCode::OK).then(|| answer["data"]["manifest_href"].as_str().map(str::to_owned))?
        })
        .await;
        let (_, path) = href.split_once("/api/").unwrap();
        let manifest = installation
            .client
            .get(format!("{}/api/{path}", installation.service.url));
        let manifest = manifest.send().await.unwrap().bytes().await.unwrap();
        assert!(manifest == newest_manifest());
    }
    let (status, _) = installation
        .send(Method::GET, &token, "/api/private/manifests/7b7d.00")
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}
