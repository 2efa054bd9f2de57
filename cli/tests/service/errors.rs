//! Requests that are refused, and their messages.

use std::net::TcpListener;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::try_command;

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest, prepared};

async fn refused(installation: &Installation, token: &Token, slug: &str, file: Option<Vec<u8>>) -> (u16, Value) {
    let mut form = Form::new();
    if !slug.is_empty() {
        form = form.text("environment_slug", slug.to_owned());
    }
    if let Some(file) = file {
        form = form.part("file", Part::bytes(file).file_name("file"));
    }
    let (status, answer) = installation.upload(token, form).await;
    (status.as_u16(), answer["errors"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_uploads_are_refused_with_the_reason() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let says = |(status, errors): (u16, Value), expected: u16, field: &str, words: &str| {
        assert_eq!(status, expected, "{errors}");
        let text = errors[field].to_string();
        assert!(text.contains(words), "{errors} lacks `{words}` in `{field}`");
    };
    let upload = async |file: &[u8]| refused(&installation, &token, SLUG, Some(file.to_vec())).await;
    says(refused(&installation, &token, SLUG, None).await, 422, "file", "");
    says(upload(b"<html>").await, 422, "file", "not JSON");
    says(upload(&newest_manifest()[..100_000]).await, 422, "file", "truncated");
    says(upload(br#"{"a": 1}"#).await, 422, "file", "its keys are a");
    says(upload(b"").await, 422, "file", "empty");
    let good = || Some(newest_manifest());
    says(
        refused(&installation, &token, "nowhere", good()).await,
        422,
        "environment_slug",
        "nowhere",
    );
    says(
        refused(&installation, &token, "", good()).await,
        422,
        "environment_slug",
        "",
    );

    let reader = installation.token("1", "read", &[]);
    assert_eq!(refused(&installation, &reader, SLUG, good()).await.0, 403);
    let unknown = Token {
        id: String::new(),
        key: "dbtapi_unknown".to_owned(),
    };
    let (status, errors) = refused(&installation, &unknown, SLUG, good()).await;
    assert!(status == 401 && errors.is_object());
    assert_eq!(installation.count("SELECT count(*) FROM artifacts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_environment_is_refused() {
    let installation = Installation::start().await;
    installation.command(&[
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "1",
        "--name",
        "Prod",
        "--slug",
        "prod",
        "--type",
        "production",
    ]);
    let bound = installation.token("1", "upload", &["--environment", "prod"]);
    assert_eq!(
        refused(&installation, &bound, SLUG, Some(newest_manifest())).await.0,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_side_refuses_writes() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    for method in [Method::POST, Method::DELETE, Method::PATCH] {
        let (status, body) = installation.send(method, &token, "/api/v2/accounts/1/runs/").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"]["is_success"], false);
    }
    let (status, body) = installation.get(&token, "/api/v2/accounts/1/runs/?limit=abc").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["status"]["user_message"].as_str().unwrap().contains("got `abc`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_does_not_exist_is_not_found_whatever_the_method() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    for (path, expected, key) in [
        ("/api/ai/v1/mcp/", 404, "status"),
        ("/api/v2/accounts/1/nothing/", 404, "status"),
        ("/nothing", 404, "status"),
        ("/api/internal/nothing", 404, "errors"),
        ("/api/v2/accounts/1/jobs/1/run/", 405, "status"),
        ("/healthz/live", 405, "status"),
        ("/api/internal/healthcheck", 405, "errors"),
    ] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (status, body) = installation.send(method.clone(), &token, path).await;
            assert_eq!(status, expected, "{method} {path}");
            let body: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            assert!(body[key].is_object(), "{method} {path}: {body}");
        }
    }
    for path in ["/nothing/", "/metrics/nothing", "/api", "/api/private/nothing"] {
        let (status, body) = installation.get(&token, path).await;
        assert_eq!(
            (status, &body["status"]["code"]),
            (StatusCode::NOT_FOUND, &404.into()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_used_is_named() {
    let mut system = prepared().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port().to_string();
    // No machine has the first address (RFC 5737).
    for (host, port, words) in [
        (
            "203.0.113.1",
            "0",
            "invalid `HOST`: expected an address of this machine, got `203.0.113.1`",
        ),
        ("127.0.0.1", &taken, "another program uses this port"),
    ] {
        system.variables = vec![
            ("HOST".to_owned(), host.to_owned()),
            ("PORT".to_owned(), port.to_owned()),
        ];
        let (code, _, errors) = try_command(BINARY, &["serve"], &system);
        assert!(code == Some(1) && errors.contains(words), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_report_what_is_wrong() {
    let installation = Installation::start().await;
    let fails = |arguments: &[&str]| {
        let (code, _, errors) = try_command(BINARY, arguments, &installation.system);
        assert_ne!(code, Some(0), "{arguments:?}");
        errors
    };
    for command in [
        vec!["account", "show", "7"],
        vec!["project", "list", "--account", "7"],
        vec!["environment", "list", "--account", "7"],
        vec!["token", "list", "--account", "7"],
        vec!["prune", "--account", "7", "--keep", "1"],
    ] {
        assert!(fails(&command).contains("unknown account `7`"), "{command:?}");
    }
    assert!(fails(&["project", "add", "--account", "1", "--name", "x", "--slug", "shop"]).contains("`shop` is taken"));
    assert!(fails(&["project", "add", "--account", "1", "--name", "x", "--slug", "123"]).contains("not all digits"));
    assert!(
        fails(&["token", "create", "--account", "1", "--scope", "write"]).contains("expected read, upload or operate")
    );
    assert!(fails(&["dead-letters", "retry"]).contains("<EVENTS|--all>"));
    for command in [vec!["token", "create"], vec!["prune", "--keep", "1"]] {
        let more = |environment| [command.clone(), vec!["--account", "1", "--environment", environment]].concat();
        assert!(fails(&more("nope")).contains("unknown environment `nope`"));
        // This environment belongs to another account.
        assert!(fails(&more("2")).contains("unknown environment `2`"));
        installation.command(&more("1"));
        installation.command(&more(SLUG));
    }
    for command in [vec!["events", "list"], vec!["replay"], vec!["import"]] {
        let more = |more: &[&'static str]| [&command[..], more].concat();
        assert!(fails(&more(&["--account", "7"])).contains("unknown account `7`: `dbt-api account list`"));
        for environment in ["nope", "2"] {
            let errors = fails(&more(&["--account", "1", "--environment", environment]));
            let expected = format!("unknown environment `{environment}`: `dbt-api environment list --account 1`");
            assert!(errors.contains(&expected), "{command:?}: {errors}");
        }
        for environment in ["1", SLUG] {
            installation.command(&more(&["--account", "1", "--environment", environment]));
        }
    }
    let of_environment = |more: &[&'static str]| [&["events", "list", "--environment"], more].concat();
    assert!(fails(&of_environment(&[SLUG])).contains("needs --account"));
    assert!(fails(&of_environment(&["7"])).contains("`dbt-api environment list --account ID`"));
    let by_id = installation.command(&of_environment(&["1"]));
    assert_eq!(by_id, installation.command(&of_environment(&[SLUG, "--account", "1"])));
    assert_eq!(by_id[0]["type"], "directory.environment.recorded.v1");
    let add = [
        "environment",
        "add",
        "--account",
        "1",
        "--name",
        "More",
        "--slug",
        "more",
        "--project",
    ];
    assert!(fails(&[&add[..], &["nope"]].concat()).contains("unknown project `nope`"));
    assert_eq!(installation.command(&[&add[..], &["shop"]].concat())["project_id"], 1);
    assert!(fails(&["events", "show", "x"]).contains("-0123456789ab, got `x`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_refused() {
    let mut system = prepared().await;
    system
        .variables
        .push(("MAX_UPLOAD_BYTES".to_owned(), "100000".to_owned()));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "upload", &[]);
    let (status, errors) = refused(&installation, &token, SLUG, Some(newest_manifest())).await;
    assert_eq!(status, 413, "{errors}");
    assert!(errors["message"].to_string().contains("100000"), "{errors}");
}
