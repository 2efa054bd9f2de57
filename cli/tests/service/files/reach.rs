//! Files during outages, and which tokens, processes and names reach them.

use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Service, wait_until};

use super::{file, send};
use crate::installation::{BINARY, Installation, SLUG, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_accepted_while_postgres_is_down() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let add = "environment add --account 1 --project 1 --name Other --slug other";
    installation.command(&add.split(' ').collect::<Vec<_>>());
    let others = "/api/internal/environments/other/files";
    let form = |text: &str| Form::new().text("tag", "t").part("file", file(text, "f.txt"));
    assert_eq!(
        send(&installation, &token, Method::POST, &files, Some(form("before")))
            .await
            .0,
        201
    );
    let (_, of_other) = send(&installation, &token, Method::POST, others, Some(form("other's"))).await;
    let slug = of_other["data"]["slug"].as_str().unwrap().to_owned();
    wait_until("the token is known without PostgreSQL", async || {
        (installation.readiness().await["parts"]["directory"]["status"] == "ok").then_some(())
    })
    .await;
    installation.system.database.close().await;
    assert_eq!(
        send(&installation, &token, Method::PUT, &files, Some(form("during")))
            .await
            .0,
        200
    );
    // The slug cannot be looked up while the database is down.
    let mistaken = Form::new()
        .text("slug", slug.clone())
        .part("file", file("mistaken", "f.txt"));
    assert_eq!(
        send(&installation, &token, Method::PUT, &files, Some(mistaken)).await.0,
        200
    );
    let path = format!("{files}?tag=t");
    let (status, body) = send(&installation, &token, Method::DELETE, &path, None).await;
    assert!(status == 503 && body["errors"].is_object(), "{status} {body}");
    assert_eq!(send(&installation, &token, Method::GET, &path, None).await.0, 503);
    installation.system.database.open().await;
    wait_until("the file is shown", async || {
        let shown = send(&installation, &token, Method::GET, &path, None).await.1;
        (shown["data"]["contents"] == "during").then_some(())
    })
    .await;
    for (environment, contents) in [(files.as_str(), "mistaken"), (others, "other's")] {
        let path = format!("{environment}?slug={slug}");
        wait_until("each environment has its own file", async || {
            let shown = send(&installation, &token, Method::GET, &path, None).await.1;
            (shown["data"]["contents"] == contents).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_visible_only_to_their_account_and_environment() {
    let installation = Installation::start().await;
    installation.add_environment("other");
    let token = installation.token("1", "upload", &[]);
    let bound = installation.token("1", "upload", &["--environment", "other"]);
    let other = installation.token("2", "read,upload", &[]);
    let reader = installation.token("1", "read", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let form = || {
        Form::new()
            .text("tag", "secret")
            .part("file", file("secret", "secret.txt"))
    };
    let (_, stored) = send(&installation, &token, Method::POST, &files, Some(form())).await;
    let slug = stored["data"]["slug"].as_str().unwrap();
    for (token, path) in [
        (&bound, format!("{files}?tag=secret")),
        (&bound, format!("{files}?slug={slug}")),
        (&bound, format!("{files}/{slug}/download")),
        // The other account has an environment with the same slug.
        (&other, format!("{files}?tag=secret")),
        (&other, format!("{files}?slug={slug}")),
        (&other, format!("{files}/{slug}/download")),
        (&bound, format!("/api/internal/environments/other/files?slug={slug}")),
    ] {
        let (status, body) = installation.send(Method::GET, token, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!String::from_utf8_lossy(&body).contains("secret.txt"));
    }
    for method in [Method::PUT, Method::DELETE] {
        let path = format!("{files}?slug={slug}");
        let status = send(&installation, &other, method.clone(), &path, Some(form())).await.0;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
        let status = send(&installation, &bound, method.clone(), &path, Some(form())).await.0;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method}");
        let status = send(&installation, &reader, method, &path, Some(form())).await.0;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let (_, shown) = send(
        &installation,
        &reader,
        Method::GET,
        &format!("{files}?tag=secret"),
        None,
    )
    .await;
    assert_eq!(shown["data"]["contents"], "secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_side_that_runs_alone_serves_all_routes_of_its_clients() {
    let system = prepared().await;
    let _projector = Service::start(BINARY, "projector", &system).await;
    let installation = Installation::of(system, "ingest").await;
    let token = installation.token("1", "upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let form = Form::new().text("tag", "t").part("file", file("text", "f.txt"));
    assert_eq!(
        send(&installation, &token, Method::POST, &files, Some(form)).await.0,
        201
    );
    let path = format!("{files}?tag=t");
    wait_until("the file exists", async || {
        let shown = send(&installation, &token, Method::GET, &path, None).await.1;
        (shown["data"]["contents"] == "text").then_some(())
    })
    .await;
    assert_eq!(
        installation
            .send(Method::GET, &token, "/api/v2/accounts/1/runs/")
            .await
            .0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_names_of_files_are_reported() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let form = Form::new().text("tag", "kept").part("file", file("x", "a+b c.txt"));
    let (status, _) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert_eq!(status, StatusCode::CREATED);
    // The name is sent fully encoded, and as sent by a client that does not encode names.
    for name in ["a%2Bb%20c.txt", "a%2Bb+c.txt"] {
        let path = format!("{files}?filename={name}");
        assert_eq!(
            send(&installation, &token, Method::GET, &path, None).await.0,
            StatusCode::OK,
            "{name}"
        );
    }
    let form = Form::new().text("tag", "plus").part("file", file("x", "a+b.txt"));
    send(&installation, &token, Method::POST, &files, Some(form)).await;
    let (_, found) = send(
        &installation,
        &token,
        Method::GET,
        &format!("{files}?filename=a+b.txt"),
        None,
    )
    .await;
    assert_eq!(found["data"]["tag"], "plus", "{found}");

    for field in ["slug", "tag", "filename"] {
        let (status, answer) = send(&installation, &token, Method::GET, &format!("{files}?{field}="), None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert_eq!(answer["errors"][field], json!(["can't be blank"]));
    }
    for (body, status, field) in [
        (r#"{"tag": "kept""#, StatusCode::BAD_REQUEST, "message"),
        (r#"{"tag": 1}"#, StatusCode::UNPROCESSABLE_ENTITY, "tag"),
        (r#"{"tag": null}"#, StatusCode::UNPROCESSABLE_ENTITY, "slug"),
        ("{}", StatusCode::UNPROCESSABLE_ENTITY, "slug"),
    ] {
        let url = format!("{}{files}", installation.service.url);
        let request = installation.client.delete(url).bearer_auth(&token.key).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let answer: Value = answer.json().await.unwrap();
        assert!(!answer["errors"][field].is_null(), "{body}: {answer}");
    }
    let (status, _) = send(&installation, &token, Method::GET, &format!("{files}?tag=kept"), None).await;
    assert_eq!(status, StatusCode::OK);
}
