//! Files and manifests under v3, with the requests that Datacoves' public scripts send.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::files::{file, send};
use crate::installation::{Installation, SLUG, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn v3_finds_files_by_name_in_environments_and_projects() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let bound = installation.token("1", "read,upload", &["--environment", SLUG]);
    let other = installation.token("2", "read,upload", &[]);
    let project = "/api/v3/accounts/1/projects/shop";
    let environment = format!("{project}/environments/{SLUG}");
    let form = |bytes: Vec<u8>, manifest: &str| {
        Form::new()
            .part("file", Part::bytes(bytes).file_name("upload"))
            .text("filename", "state.json")
            .text("is_manifest", manifest.to_owned())
    };
    // The scripts that use these routes send double slashes.
    let path = format!("/{environment}/files");
    let (status, body) = send(
        &installation,
        &token,
        Method::POST,
        &path,
        Some(form(b"{}".to_vec(), "true")),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let (status, body) = send(
        &installation,
        &token,
        Method::POST,
        &path,
        Some(form(newest_manifest(), "maybe")),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert!(
        body["status"]["user_message"].as_str().unwrap().contains("got `maybe`"),
        "{body}"
    );
    let (status, stored) = send(
        &installation,
        &token,
        Method::POST,
        &path,
        Some(form(newest_manifest(), "true")),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED, "{stored}");
    assert_eq!(stored["data"]["filename"], "state.json");
    let path = "/api/v3/accounts/1/projects/1/environments/1/files";
    let form = Form::new().part("file", file("{}", "other.json"));
    let (_, by_number) = send(&installation, &token, Method::POST, path, Some(form)).await;
    assert_eq!(by_number["data"]["environment_slug"], SLUG, "{by_number}");
    let (status, _) = send(
        &installation,
        &token,
        Method::DELETE,
        &format!("{path}/other.json"),
        None,
    )
    .await;
    assert_eq!(status, StatusCode::OK);

    let (status, shown) = send(
        &installation,
        &token,
        Method::GET,
        &format!("{environment}/files/state.json"),
        None,
    )
    .await;
    assert_eq!(
        (status, &shown["data"]["metadata"]["kind"]),
        (StatusCode::OK, &json!("manifest"))
    );
    let path = format!("{environment}/files/state.json/download");
    assert!(installation.send(Method::GET, &token, &path).await.1 == newest_manifest());
    let value: Value = serde_json::from_slice(&newest_manifest()).unwrap();
    for owner in [&environment, &project.to_owned()] {
        let (_, whole) = send(
            &installation,
            &token,
            Method::GET,
            &format!("{owner}/manifest?trim=false"),
            None,
        )
        .await;
        assert_eq!(whole["data"]["contents"], value, "{owner}");
        let (_, trimmed) = send(
            &installation,
            &token,
            Method::GET,
            &format!("{owner}/manifest?trim=true"),
            None,
        )
        .await;
        assert_eq!(trimmed["data"]["contents"]["nodes"], value["nodes"]);
        assert_eq!(trimmed["data"]["contents"].as_object().unwrap().len(), 2);
    }
    let (_, listed) = send(
        &installation,
        &token,
        Method::GET,
        &format!("{environment}/files"),
        None,
    )
    .await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["data"][0]["environment_slug"], SLUG);

    let promote = format!("{environment}/files/state.json/promote");
    assert_eq!(
        send(&installation, &bound, Method::POST, &promote, None).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, promoted) = send(&installation, &token, Method::POST, &promote, None).await;
    assert_eq!(status, StatusCode::CREATED);
    let by_path = promoted["data"]["path"].as_str().unwrap();
    assert!(installation.send(Method::GET, &token, by_path).await.1 == newest_manifest());
    let of_project = format!("{project}/files/state.json");
    let download = format!("{of_project}/download");
    assert!(installation.send(Method::GET, &token, &download).await.1 == newest_manifest());
    let (_, listed) = send(&installation, &token, Method::GET, &format!("{project}/files"), None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    // A token of one environment does not see the files of the project.
    assert_eq!(
        installation.send(Method::GET, &bound, &download).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        installation.send(Method::GET, &other, &download).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        send(&installation, &token, Method::DELETE, &of_project, None).await.0,
        StatusCode::OK
    );
    assert_eq!(
        installation.send(Method::GET, &token, &download).await.0,
        StatusCode::NOT_FOUND
    );
    let of_environment = format!("{environment}/files/state.json");
    assert_eq!(
        send(&installation, &other, Method::DELETE, &of_environment, None)
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        send(&installation, &token, Method::DELETE, &of_environment, None)
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        send(&installation, &token, Method::GET, &of_environment, None).await.0,
        StatusCode::NOT_FOUND
    );

    // Slugs work where v3 has ids, and uploaders can look up where their files go.
    let uploader = installation.token("1", "upload", &[]);
    for path in [
        "/api/v3/accounts/1",
        project,
        &environment,
        "/api/v3/accounts/1/projects/1",
        "/api/v3/accounts/1/projects/1/environments/1",
    ] {
        for key in [&token, &uploader] {
            let (status, shown) = send(&installation, key, Method::GET, path, None).await;
            assert_eq!((status, &shown["data"]["id"]), (StatusCode::OK, &json!(1)), "{path}");
        }
        assert_eq!(
            send(&installation, &other, Method::GET, path, None).await.0,
            StatusCode::NOT_FOUND
        );
    }
    let runs = "/api/v2/accounts/1/runs/";
    assert_eq!(
        send(&installation, &uploader, Method::GET, runs, None).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        installation.send(Method::GET, &token, "//api/v3/healthcheck").await.1,
        b"ok"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_requires_a_file_named_as_a_manifest_to_be_json() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let path = format!("/api/v3/accounts/1/projects/shop/environments/{SLUG}/files");
    let named = |name: &'static str| Form::new().part("file", file("no JSON", name));
    for form in [
        named("manifest.json"),
        named("upload").text("filename", "manifest.json"),
    ] {
        let (status, body) = send(&installation, &token, Method::POST, &path, Some(form)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let message = body["status"]["user_message"].as_str().unwrap();
        assert!(message.contains("the file is not JSON"), "{body}");
    }
    for form in [
        named("state.json"),
        named("manifest.json").text("filename", "state.json"),
    ] {
        let (status, body) = send(&installation, &token, Method::POST, &path, Some(form)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
}
