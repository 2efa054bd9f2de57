//! Conditional reads with `If-None-Match`.

use clock::Clock;
use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};

use crate::files::{file, send};
use crate::installation::{Installation, SLUG, Token, newest_manifest};

const RUNS: &str = "/api/v2/accounts/1/runs/";
const RUNS_OF_OTHERS: &str = "/api/v2/accounts/2/runs/";

async fn tag_of(installation: &Installation, token: &Token, path: &str) -> String {
    let request = installation.client.get(format!("{}{path}", installation.service.url));
    let answer = request.bearer_auth(&token.key).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.headers()["etag"].to_str().unwrap().to_owned()
}

async fn ask(installation: &Installation, token: &Token, path: &str, tag: &str) -> StatusCode {
    let request = installation.client.get(format!("{}{path}", installation.service.url));
    let request = request.bearer_auth(&token.key).header("If-None-Match", tag);
    request.send().await.unwrap().status()
}

/// Makes a change, and checks that it invalidates the tags of account 1 and of no other account. All must happen within the minute for
/// which a tag is valid, so it starts again if a minute ends meanwhile.
async fn invalidates_tags(
    installation: &Installation,
    token: &Token,
    other: &Token,
    what: &str,
    mut change: impl AsyncFnMut(),
) {
    let minute = || Clock::System.now().timestamp() / 60;
    loop {
        let begun = minute();
        let tag = tag_of(installation, token, RUNS).await;
        let tag_of_others = tag_of(installation, other, RUNS_OF_OTHERS).await;
        let before = ask(installation, token, RUNS, &tag).await;
        change().await;
        let after = ask(installation, token, RUNS, &tag).await;
        let of_others = ask(installation, other, RUNS_OF_OTHERS, &tag_of_others).await;
        if minute() == begun {
            assert_eq!(before, StatusCode::NOT_MODIFIED, "before: {what}");
            assert_eq!(after, StatusCode::OK, "after: {what}");
            assert_eq!(of_others, StatusCode::NOT_MODIFIED, "other account, after: {what}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_account_invalidates_only_its_own_tags() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let other = installation.token("2", "read", &[]);
    let (files, mut number) = (format!("/api/internal/environments/{SLUG}/files"), 0);
    let mut upload = async || {
        number += 1;
        let run = format!("run-{number}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        installation.run_with_total(&token, "1", number).await;
    };
    invalidates_tags(&installation, &token, &other, "an upload", &mut upload).await;
    let prune = ["prune", "--account", "1", "--older-than", "0d", "--apply"];
    upload().await;
    invalidates_tags(&installation, &token, &other, "retention", async || {
        // In a repeated round there would be nothing left to prune.
        if installation.command(&prune)["runs"] == 0 {
            installation
                .upload_manifest(&token, "once more", newest_manifest())
                .await;
        }
    })
    .await;

    let mut number = 0;
    invalidates_tags(&installation, &token, &other, "a new environment", async || {
        number += 1;
        let slug = format!("more-{number}");
        let of_project = ["environment", "add", "--account", "1", "--project", "1"];
        installation.command(&[of_project.as_slice(), &["--name", &slug, "--slug", &slug]].concat());
    })
    .await;

    let store = async || {
        let form = Form::new().text("tag", "note").part("file", file("text", "note.txt"));
        assert_eq!(
            send(&installation, &token, Method::POST, &files, Some(form)).await.0,
            201
        );
    };
    invalidates_tags(&installation, &token, &other, "a file", store).await;
    let path = format!("{files}?tag=note");
    store().await;
    invalidates_tags(&installation, &token, &other, "a deletion", async || {
        // In a repeated round there would be nothing left to delete.
        if send(&installation, &token, Method::DELETE, &path, None).await.0 != StatusCode::OK {
            store().await;
        }
    })
    .await;

    let tag = tag_of(&installation, &token, RUNS).await;
    installation.command(&["token", "delete", &token.id]);
    assert_eq!(ask(&installation, &token, RUNS, &tag).await, StatusCode::UNAUTHORIZED);
}
