//! What the pages show.

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testkit::wait_until;

use super::{operator, operator_token};
use crate::installation::{Installation, newest_manifest};

const PAGES: [&str; 9] = [
    "/console/operate",
    "/console/operate/uploads",
    "/console/operate/refused",
    "/console/operate/dead-letters",
    "/console/operate/rebuilds",
    "/console/operate/accounts",
    "/console/operate/accounts/1",
    "/console/operate/storage",
    "/console/operate/actions",
];

#[tokio::test(flavor = "multi_thread")]
async fn uploads_refusals_sizes_and_rebuilds_are_shown() {
    let installation = Installation::start().await;
    let uploader = installation.token("1", "read,upload", &[]);
    let token = operator_token(&installation.system, "1d");
    installation.upload_manifest(&uploader, "run", newest_manifest()).await;
    installation.run_with_total(&uploader, "1", 1).await;
    let hostile = "<script>alert(1)</script>.json";
    let form = Form::new()
        .text("environment_slug", "elsewhere")
        .part("file", Part::bytes(newest_manifest()).file_name(hostile));
    assert!(installation.upload(&uploader, form).await.0.is_client_error());
    let browser = operator(&installation, &token).await;

    let uploads = browser.json("/console/operate/uploads").await;
    assert_eq!(
        (&uploads["uploads"][0]["state"], &uploads["uploads"][0]["files"]),
        (&json!("shown"), &json!(["manifest.json"])),
        "{uploads}"
    );
    let all = browser.json("/console/operate/uploads?account=").await;
    assert_eq!(all["uploads"], uploads["uploads"]);
    let unknown = browser.open("/console/operate/accounts/abc").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
    let none = browser.json("/console/operate/uploads?account=2").await;
    assert_eq!(none["uploads"], json!([]));
    let refused = wait_until("the refused upload is known", async || {
        let refused = browser.json("/console/operate/refused").await;
        refused["refused"].get(0).is_some().then_some(refused)
    })
    .await;
    assert_eq!(refused["refused"][0]["token_id"], uploader.id.as_str(), "{refused}");
    let page = browser.open("/console/operate/refused").await;
    assert!(
        page.text.contains("elsewhere") && !page.text.contains("<script>alert"),
        "{}",
        page.text
    );

    let size = newest_manifest().len();
    let storage = browser.json("/console/operate/storage").await;
    let of_account = &storage["accounts"][0];
    assert_eq!(
        (
            &of_account["bytes"],
            &of_account["contents"],
            &of_account["runs"],
            &of_account["old_runs"]
        ),
        (&json!(size), &json!(1), &json!(1), &json!(0)),
        "{storage}"
    );
    let rebuilds = browser.json("/console/operate/rebuilds").await;
    assert_eq!(
        (&rebuilds["progress"]["events"], &rebuilds["progress"]["next"]),
        (&json!(1), &json!(null)),
        "{rebuilds}"
    );
    for path in PAGES {
        let page = browser.open(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert!(page.text.contains("aria-current=\"page\""), "{path}");
        browser.json(path).await;
    }
    assert_eq!(
        browser.open("/console/operate/accounts/9").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        browser.open("/console/operate/elsewhere").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_say_so_while_postgresql_is_down() {
    let installation = Installation::start().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    installation.system.database.close().await;
    for path in PAGES {
        let page = browser.open(path).await;
        let is_known_without = ["/console/operate", "/console/operate/refused"].contains(&path);
        let expected = if is_known_without {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        assert_eq!(page.status, expected, "{path}: {}", page.text);
    }
    installation.system.database.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_dead_letters_the_first_are_listed() {
    let installation = Installation::start().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    let pool = installation.system.database.pool("postgres");
    for (count, has_more) in [(200, false), (1, true)] {
        sqlx::query(
            "INSERT INTO dead_letters (event_id, event_type, event_time, cause)
             SELECT gen_random_uuid(), 'dbt.artifacts.uploaded.v1', '2026-11-24T12:00:00Z', 'unknown' FROM generate_series(1, $1)",
        )
        .bind(count)
        .execute(&pool)
        .await
        .unwrap();
        let listed = browser.json("/console/operate/dead-letters").await;
        assert_eq!(
            (listed["dead_letters"].as_array().unwrap().len(), &listed["has_more"]),
            (200, &json!(has_more))
        );
        let page = browser.open("/console/operate/dead-letters").await;
        assert_eq!(page.text.contains("Only the first 200 are shown."), has_more);
    }
    let all = installation.command(&["dead-letters", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 201);
}
