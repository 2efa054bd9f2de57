//! dbt artifacts among the files that clients store.

use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::files::{PREFIXES, file, send};
use crate::installation::{BINARY, Installation, SLUG, newest_manifest};

fn run_results() -> Vec<u8> {
    std::fs::read(testkit::repository_file("fixtures/run_results/v6-1.12.0-build.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_artifacts_are_assigned_to_runs_by_their_tags() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let run_id = "manual__2023-12-02T09:49:46.105347+00:00";
    // The results arrive before the run is known, and another run's id starts with the same text.
    let form = Form::new()
        .text("files[0][tag]", format!("{run_id}-run_results"))
        .part("files[0][file]", file(run_results(), "run_results.json"));
    let (status, stored) = send(&installation, &token, Method::POST, &files, Some(form)).await;
    assert_eq!(status, StatusCode::CREATED, "{stored}");
    assert_eq!(stored["data"][0]["metadata"]["kind"], "run_results");
    let mut manifest: Value = serde_json::from_slice(&newest_manifest()).unwrap();
    for (run, invocation) in [("manual__2023", "1"), (run_id, "2")] {
        manifest["metadata"]["invocation_id"] = format!("00000000-0000-4000-8000-00000000000{invocation}").into();
        let form = Form::new()
            .text("environment_slug", SLUG)
            .text("run_id", run)
            .text("dag_id", "daily")
            .part("file", file(manifest.to_string(), "file"));
        assert_eq!(installation.upload(&token, form).await.0, StatusCode::CREATED);
    }
    let runs = "/api/v2/accounts/1/runs/?order_by=-id&include_related=run_steps";
    let run = wait_until("the results belong to the run", async || {
        let runs = installation.get(&token, runs).await.1;
        (runs["extra"]["pagination"]["total_count"] == 2).then(|| runs["data"][0].clone())
    })
    .await;
    let path = format!("/api/v2/accounts/1/runs/{}/artifacts/", run["id"]);
    assert_eq!(
        installation.get(&token, &path).await.1["data"],
        json!(["manifest.json", "run_results.json"])
    );
    // The results contain a failed test.
    assert_eq!(run["status"], 20, "{run}");
    // Files that are not artifacts, and files tagged latest-…, make no run.
    for (tag, bytes) in [("latest-manifest", newest_manifest()), ("notes", b"text".to_vec())] {
        let form = Form::new().text("tag", tag).part("file", file(bytes, "f"));
        assert_eq!(
            send(&installation, &token, Method::POST, &files, Some(form)).await.0,
            201
        );
    }
    let listed = installation.get(&token, runs).await.1;
    assert_eq!(listed["extra"]["pagination"]["total_count"], 2);
    let verified = testkit::run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_pruned_once_the_catalog_uploaded_with_it_is_not_the_newest() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let files = format!("/api/internal/environments/{SLUG}/files");
    let catalog = || {
        let bytes = std::fs::read(testkit::repository_file("fixtures/catalog/v1-1.12.0.json")).unwrap();
        file(bytes, "catalog.json")
    };
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let batch = Form::new()
        .text("files[0][tag]", "first-run_results")
        .part("files[0][file]", file(run_results(), "run_results.json"))
        .text("files[1][tag]", "latest-docs")
        .part("files[1][file]", catalog());
    assert_eq!(
        send(&installation, &token, Method::POST, &files, Some(batch)).await.0,
        201
    );
    installation.upload_manifest(&token, "second", newest_manifest()).await;
    installation.run_with_total(&token, "1", 2).await;
    let mut of_second: Value = serde_json::from_slice(&run_results()).unwrap();
    of_second["metadata"]["invocation_id"] = json!("00000000-0000-4000-8000-000000000002");
    of_second["metadata"]["generated_at"] = json!("2026-11-25T00:00:00Z");
    for result in of_second["results"].as_array_mut().unwrap() {
        result["timing"] = json!([]);
    }
    let newer = Form::new()
        .text("tag", "second-run_results")
        .part("file", file(of_second.to_string(), "run_results.json"));
    assert_eq!(
        send(&installation, &token, Method::POST, &files, Some(newer)).await.0,
        201
    );
    let prune = ["prune", "--account", "1", "--older-than", "0d"];
    assert_eq!(
        installation.command(&prune)["runs"],
        0,
        "the newest catalog was uploaded with it"
    );
    let newer = Form::new().text("tag", "latest-docs").part("file", catalog());
    assert_eq!(
        send(&installation, &token, Method::POST, &files, Some(newer)).await.0,
        201
    );
    let pruned = installation.command(&[prune.as_slice(), &["--apply"]].concat());
    assert_eq!(pruned["runs"], 1, "{pruned}");
    // The stored file itself remains available.
    let path = format!("{files}?tag=first-run_results");
    assert_eq!(send(&installation, &token, Method::GET, &path, None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_served_trimmed_and_whole() {
    let installation = Installation::start().await;
    let token = installation.token("1", "upload", &[]);
    let bound = installation.token("1", "upload", &["--environment", SLUG]);
    for (path, status) in [
        (format!("/api/internal/manifests?environment_slug={SLUG}"), 404),
        ("/api/internal/manifests".to_owned(), 422),
        ("/api/internal/manifests?environment_slug=nowhere".to_owned(), 404),
        ("/api/internal/projects/nowhere/latest-manifest".to_owned(), 404),
    ] {
        let (got, body) = send(&installation, &token, Method::GET, &path, None).await;
        assert!(got == status && body["errors"].is_object(), "{path}: {got} {body}");
    }
    let whole = newest_manifest();
    let upload = async |tag: &str, dag: &str, bytes: Vec<u8>| {
        let form = Form::new()
            .text("tag", tag.to_owned())
            .text("dag_id", dag.to_owned())
            .part("file", file(bytes, "file"));
        // A token of one environment need not name an environment.
        assert_eq!(installation.upload(&bound, form).await.0, StatusCode::CREATED);
    };
    let mut older: Value = serde_json::from_slice(&whole).unwrap();
    older["metadata"]["invocation_id"] = "00000000-0000-4000-8000-000000000001".into();
    upload("older", "weekly", older.to_string().into_bytes()).await;
    upload("newer", "daily", whole.clone()).await;
    // Uploads are projected in parallel, so the newer one may be projected before the older.
    for tag in ["older", "newer"] {
        let path = format!("/api/internal/manifests?environment_slug={SLUG}&tag={tag}");
        wait_until("the manifest exists", async || {
            (send(&installation, &token, Method::GET, &path, None).await.0 == 200).then_some(())
        })
        .await;
    }

    let value: Value = serde_json::from_slice(&whole).unwrap();
    let trimmed = json!({"metadata": value["metadata"], "nodes": value["nodes"]});
    for prefix in PREFIXES {
        for path in [
            format!("{prefix}/manifests?environment_slug={SLUG}"),
            format!("{prefix}/manifests?environment_slug={SLUG}&dag_id=daily"),
            format!("{prefix}/projects/shop/latest-manifest?"),
        ] {
            let (status, body) = installation.send(Method::GET, &token, &path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), trimmed, "{path}");
            let (_, body) = installation
                .send(Method::GET, &token, &format!("{path}&trimmed=true"))
                .await;
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), trimmed, "{path}");
            let (status, body) = installation
                .send(Method::GET, &token, &format!("{path}&trimmed=false"))
                .await;
            assert!(status == 200 && body == whole, "{path}");
        }
        for filter in ["dag_id=weekly", "tag=older"] {
            let path = format!("{prefix}/manifests?environment_slug={SLUG}&{filter}&trimmed=false");
            let (_, body) = send(&installation, &token, Method::GET, &path, None).await;
            assert_eq!(body, older, "{filter}");
        }
        let (status, _) = installation
            .send(Method::GET, &bound, &format!("{prefix}/manifests"))
            .await;
        assert_eq!(status, StatusCode::OK);
        let path = format!("{prefix}/manifests?environment_slug={SLUG}&trimmed=perhaps");
        let (status, body) = send(&installation, &token, Method::GET, &path, None).await;
        assert!(status == 400 && body.to_string().contains("perhaps"), "{body}");
    }
    for trimmed in ["true", "false"] {
        let url = format!(
            "{}/api/internal/manifests?environment_slug={SLUG}&trimmed={trimmed}",
            installation.service.url
        );
        let get = || installation.client.get(&url).bearer_auth(&token.key);
        let etag = get().send().await.unwrap().headers()["etag"].clone();
        let again = get().header("If-None-Match", etag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
