//! Files and manifests, with the requests that clients send.

mod reach;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::installation::{Installation, SLUG, Token};

pub(crate) const PREFIXES: [&str; 2] = ["/api/internal", "/api/v2/datacoves"];

pub(crate) async fn send(
    installation: &Installation,
    token: &Token,
    method: Method,
    path: &str,
    form: Option<Form>,
) -> (StatusCode, Value) {
    let request = installation
        .client
        .request(method, format!("{}{path}", installation.service.url));
    let request = match form {
        Some(form) => request.multipart(form),
        None => request,
    };
    let answer = request.bearer_auth(&token.key).send().await.unwrap();
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path}: {error}: {bytes:?}"))
    };
    (status, body)
}

pub(crate) fn file(bytes: impl Into<Vec<u8>>, name: &'static str) -> Part {
    Part::bytes(bytes.into()).file_name(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_shown_replaced_and_deleted_under_both_prefixes() {
    let installation = Installation::start().await;
    // An uploader can read its own files.
    let token = installation.token("1", "upload", &[]);
    for prefix in PREFIXES {
        let files = format!("{prefix}/environments/{SLUG}/files");
        let form = Form::new()
            .text("tag", "latest graph")
            .part("file", file(r#"{"a": [1, NaN]}"#, "graph.json"));
        let request = installation.client.post(format!("{}{files}", installation.service.url));
        let answer = request.bearer_auth(&token.key).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let stored = answer.json::<Value>().await.unwrap()["data"].clone();
        let slug = stored["slug"].as_str().unwrap();
        assert!(location.ends_with(slug), "{location}");
        assert_eq!(
            (&stored["filename"], &stored["tag"], &stored["environment_slug"]),
            (&json!("graph.json"), &json!("latest graph"), &json!(SLUG))
        );

        for query in [
            "?tag=latest%20graph".to_owned(),
            "?tag=latest+graph".to_owned(),
            "?filename=graph.json".to_owned(),
            format!("?slug={slug}"),
        ] {
            let (status, shown) = send(&installation, &token, Method::GET, &format!("{files}{query}"), None).await;
            assert_eq!(status, StatusCode::OK, "{query}: {shown}");
            assert_eq!(shown["data"]["slug"], slug, "{query}");
            assert_eq!(shown["data"]["contents"], json!({"a": [1, null]}), "{query}");
            assert!(shown["data"]["inserted_at"].is_string() && shown["data"]["path"].is_string());
        }
        let (status, _) = send(&installation, &token, Method::GET, &location, None).await;
        assert_eq!(status, StatusCode::OK);

        for method in [Method::PUT, Method::PATCH] {
            let bytes = format!("{method} text\n");
            let form = Form::new()
                .part("file", file(bytes.clone(), "graph.txt"))
                .text("tag", "latest graph");
            let (status, replaced) = send(&installation, &token, method.clone(), &files, Some(form)).await;
            assert_eq!(status, StatusCode::OK, "{replaced}");
            assert_eq!(
                (&replaced["data"]["slug"], &replaced["data"]["tag"]),
                (&json!(slug), &json!("latest graph"))
            );
            let path = format!("{files}?slug={slug}");
            let (_, shown) = send(&installation, &token, Method::GET, &path, None).await;
            assert_eq!(
                (&shown["data"]["contents"], &shown["data"]["filename"]),
                (&json!(bytes), &json!("graph.txt"))
            );
        }
        // Deletion by query parameters works, too.
        let form = Form::new().part("file", file("x", "x.txt"));
        let (status, _) = send(
            &installation,
            &token,
            Method::PUT,
            &format!("{files}?slug={slug}"),
            Some(form),
        )
        .await;
        assert_eq!(status, StatusCode::OK);

        let (status, _) = send(
            &installation,
            &token,
            Method::DELETE,
            &format!("{files}?slug={slug}"),
            None,
        )
        .await;
        assert_eq!(status, StatusCode::OK);
        for (method, path) in [
            (Method::GET, format!("{files}?slug={slug}")),
            (Method::GET, format!("{files}?tag=latest%20graph")),
            (Method::DELETE, format!("{files}?slug={slug}")),
            (Method::DELETE, format!("{files}?tag=latest%20graph")),
        ] {
            let (status, body) = send(&installation, &token, method, &path, None).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(body["errors"]["message"].is_string(), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_apart_and_every_form_of_deletion_works() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let url = format!("{}{files}", installation.service.url);
    let post = async |text: &str| {
        let form = Form::new().text("tag", "t").part("file", file(text, "f.txt"));
        let (status, stored) = send(&installation, &token, Method::POST, &files, Some(form)).await;
        assert_eq!(status, StatusCode::CREATED, "{stored}");
        stored["data"]["slug"].as_str().unwrap().to_owned()
    };
    let contents = async |query: &str| {
        send(&installation, &token, Method::GET, &format!("{files}?{query}"), None)
            .await
            .1["data"]["contents"]
            .clone()
    };
    let (first, second) = (post("first").await, post("second").await);
    assert_eq!(contents("tag=t").await, "second");
    assert_eq!(contents(&format!("slug={first}")).await, "first");
    assert_eq!(contents(&format!("slug={second}")).await, "second");
    let (_, listed) = send(&installation, &token, Method::GET, &format!("{files}?limit=1"), None).await;
    assert_eq!(
        (&listed["data"][0]["slug"], &listed["pagination"]["total_count"]),
        (&json!(second), &json!(2))
    );

    let delete = || installation.client.delete(&url).bearer_auth(&token.key);
    for form in 0..4 {
        post("again").await;
        let request = match form {
            0 => delete().json(&json!({"tag": "t"})),
            // The part has no content type, as some clients send it.
            1 => delete().body(r#"{"tag": "t"}"#),
            2 => delete()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("tag=t"),
            _ => delete().multipart(Form::new().text("tag", "t")),
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "form {form}");
        assert!(answer.bytes().await.unwrap().is_empty());
        let (status, _) = send(&installation, &token, Method::GET, &format!("{files}?tag=t"), None).await;
        assert_eq!(
            status,
            StatusCode::NOT_FOUND,
            "form {form}: no older version comes back"
        );
    }
    let (status, body) = send(&installation, &token, Method::DELETE, &files, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    // Clients read `errors` of every answer that is not a success.
    for (method, path, expected) in [
        (
            Method::DELETE,
            "/api/internal/manifests",
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (Method::POST, "/api/v2/datacoves/nothing", StatusCode::NOT_FOUND),
        (Method::GET, "/api/internal/nothing", StatusCode::NOT_FOUND),
    ] {
        let (status, body) = send(&installation, &token, method, path, None).await;
        assert!(
            status == expected && body["errors"]["message"].is_string(),
            "{path}: {status} {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_completely_or_not_at_all() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let files = format!("/api/v2/datacoves/environments/{SLUG}/files");
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let form = Form::new()
        .part("files[1][file]", file(binary.clone(), "partial_parse.msgpack"))
        .text("files[0][tag]", "latest-graph_summary")
        .part("files[0][file]", file("{}", "graph_summary.json"))
        .text("files[1][tag]", "latest-partial_parse");
    let (status, stored) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert_eq!(status, StatusCode::CREATED, "{stored}");
    assert_eq!(stored["data"].as_array().unwrap().len(), 2, "{stored}");

    let path = format!("{files}?tag=latest-partial_parse");
    let shown = send(&installation, &token, Method::GET, &path, None).await.1["data"].clone();
    assert_eq!(shown["contents"], Value::Null);
    let path = shown["path"].as_str().unwrap();
    for encoding in ["identity", "gzip", "zstd"] {
        let request = installation.client.get(format!("{}{path}", installation.service.url));
        let answer = request
            .bearer_auth(&token.key)
            .header("Accept-Encoding", encoding)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let sent = answer
            .headers()
            .get("content-encoding")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(sent.as_deref(), (encoding != "identity").then_some(encoding));
        let etag = answer.headers()["etag"].clone();
        let bytes = answer.bytes().await.unwrap().to_vec();
        let bytes = match encoding {
            "gzip" => {
                let mut plain = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut plain).unwrap();
                plain
            }
            "zstd" => zstd::decode_all(bytes.as_slice()).unwrap(),
            _ => bytes,
        };
        assert!(bytes == binary, "{encoding}");
        let request = installation.client.get(format!("{}{path}", installation.service.url));
        let again = request
            .bearer_auth(&token.key)
            .header("If-None-Match", etag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    // One file of the batch has no tag.
    let form = Form::new()
        .text("files[0][tag]", "whole")
        .part("files[0][file]", file("a", "a"))
        .part("files[1][file]", file("b", "b"));
    let (status, body) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body, json!({"errors": {"files[1][tag]": ["can't be blank"]}}));
    let (status, _) = send(&installation, &token, Method::GET, &format!("{files}?tag=whole"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let form = Form::new().part("file", file("a", "a"));
    let (_, body) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert_eq!(body, json!({"errors": {"tag": ["can't be blank"]}}));
    let form = Form::new().text("tag", "t");
    let (status, body) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert!(status == 422 && body["errors"]["file"].is_array(), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_named_as_a_manifest_must_be_json_on_every_route() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let form = |bytes: &'static str, name| Form::new().text("tag", "t").part("file", file(bytes, name));
    let stored = Some(form("{}", "manifest.json"));
    let (status, body) = send(&installation, &token, Method::POST, &files, stored).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    for (bytes, words) in [
        ("no JSON", "the file is not JSON"),
        (r#"{"nodes": {"#, "the file is truncated"),
        ("", "the file is empty"),
    ] {
        for (method, success) in [(Method::POST, 201), (Method::PUT, 200), (Method::PATCH, 200)] {
            let refused = Some(form(bytes, "manifest.json"));
            let (status, body) = send(&installation, &token, method.clone(), &files, refused).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{method} {bytes}: {body}");
            let error = body["errors"]["file"][0].as_str().unwrap_or_default();
            assert!(error.starts_with(words), "{method} {bytes}: {body}");
            let other = Some(form(bytes, "other.json"));
            let (status, body) = send(&installation, &token, method.clone(), &files, other).await;
            assert_eq!(status, success, "{method} {bytes}: {body}");
        }
    }
    let batch = Form::new()
        .text("files[0][tag]", "first")
        .part("files[0][file]", file("a", "a.txt"))
        .text("files[1][tag]", "second")
        .part("files[1][file]", file("no JSON", "target/manifest.json"));
    let (status, body) = send(&installation, &token, Method::POST, &files, Some(batch)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert!(body["errors"]["files[1][file]"].is_array(), "{body}");
    let path = format!("{files}?tag=first");
    let (status, _) = send(&installation, &token, Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "no file of the batch is stored");
}
