//! What waits, since when, and what does not come any more.

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clock::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::{Service, System, run_command, try_command, wait_until};

use crate::import::{key_of_run, put};
use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepared};

impl Installation {
    /// Returns the value of a metric, named with its labels.
    async fn metric(&self, name: &str) -> Option<f64> {
        let request = self.client.get(format!("{}/metrics", self.service.url));
        let metrics = request.send().await.ok()?.text().await.ok()?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    async fn until_metric(&self, name: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        wait_until(name, async || self.metric(name).await.filter(|value| is_right(*value))).await
    }
}

fn status(system: &System) -> (Option<i32>, Value, String) {
    let (code, output, errors) = try_command(BINARY, &["status"], system);
    let status = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{errors}"));
    (code, status, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_do_not_wait_for_nats_and_appear_once_it_is_back() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;

    installation.system.nats.pause();
    let mut slow = 0;
    for number in 0..20 {
        let begun = Instant::now();
        let run = format!("run {number}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        slow += usize::from(begun.elapsed() >= Duration::from_secs(1));
    }
    // The first one waited for a second. A busy machine may make another one slow.
    assert!((1..5).contains(&slow), "{slow} uploads took more than a second");
    assert_eq!(installation.metric("dbt_api_announcements_waiting").await, Some(20.0));

    installation.system.nats.stop();
    installation.system.nats.restart().await;
    installation
        .until_metric("dbt_api_announcements_waiting", |waiting| waiting == 0.0)
        .await;
    installation.run_with_total(&token, "1", 21).await;
    assert_eq!(installation.service.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_without_postgres_and_nats() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "before", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    let oldest = "dbt_api_oldest_waiting_event_timestamp_seconds";
    let (events, letters) = ("dbt_api_waiting_events", "dbt_api_dead_letters");
    installation.until_metric(events, |waiting| waiting == 0.0).await;
    installation.until_metric(letters, |letters| letters == 0.0).await;

    let closed = Clock::System.now().timestamp() as f64;
    installation.system.database.close().await;
    installation.system.nats.stop();
    for run in ["one", "two"] {
        installation.upload_manifest(&token, run, newest_manifest()).await;
    }
    // The upload before may have been applied after the last count.
    let waiting = installation.until_metric(events, |waiting| waiting >= 2.0).await;
    assert!(waiting <= 3.0, "{waiting}");
    let since = installation.metric(oldest).await.unwrap();
    assert!((since - closed).abs() < 60.0, "{since} {closed}");
    let (code, shown, errors) = status(&installation.system);
    assert!(code == Some(1) && !errors.contains("waits"), "{errors}{shown}");
    assert_eq!(shown["waiting"], Value::Null);
    assert_eq!(shown["waiting_at_most"]["waiting_events_at_most"], waiting, "{shown}");

    // A projector that starts now knows what waited before.
    let other = Service::start(BINARY, "projector", &installation.system).await;
    let first = std::mem::replace(&mut installation.service, other);
    installation.until_metric(events, |of_other| of_other == waiting).await;
    installation.service = first;
    std::fs::remove_file(installation.system.storage().join("derived/counted.json")).unwrap();
    let (code, shown, errors) = status(&installation.system);
    // Each problem is named once.
    let problems = json!(["database cannot be used", "nats cannot be used"]);
    assert_eq!(shown["problems"], problems, "{errors}");
    assert_eq!((code, &shown["waiting_at_most"]), (Some(1), &Value::Null));

    installation.system.database.open().await;
    installation.run_with_total(&token, "1", 3).await;
    installation.until_metric(events, |waiting| waiting == 0.0).await;
    let now = Clock::System.now().timestamp() as f64;
    installation.until_metric(oldest, |since| since >= now - 60.0).await;
}

/// Imports an upload of each of these days ago.
fn import_daily(system: &System, days: &[i64]) {
    let folder = tempfile::tempdir().unwrap();
    for day in days {
        let time = Clock::System.now() - TimeDelta::days(*day);
        let manifest =
            format!(r#"{{"metadata": {{"dbt_version": "1.4.10"}}, "nodes": {{}}, "macros": {{}}, "day": {day}}}"#);
        let key = key_of_run("1", SLUG, "daily", &format!("run {day}"));
        put(folder.path(), &key, manifest.as_bytes(), time);
    }
    let from = folder.path().display().to_string();
    let report = run_command(BINARY, &["import", "--from", &from], system);
    assert_eq!(report["imported"], days.len(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_silent_when_its_usual_uploads_do_not_come() {
    let system = prepared().await;
    let silent = |system: &System| {
        let (code, shown, errors) = status(system);
        assert_eq!(
            code,
            Some(0),
            "silence is not a problem of the service: {errors}{shown}"
        );
        shown["silent_environments"].clone()
    };
    assert_eq!(silent(&system), json!([]));
    // Four days are not enough to know what is usual.
    import_daily(&system, &[12, 11, 10, 9]);
    assert_eq!(silent(&system), json!([]));
    import_daily(&system, &[8, 7, 6, 5, 4, 3]);
    let found = silent(&system);
    assert_eq!(found[0]["environment"], SLUG, "{found}");
    assert_eq!(
        (&found[0]["account_id"], &found[0]["usual_hours"]),
        (&json!(1), &json!(24))
    );

    let installation = Installation::of(system, "serve").await;
    let labelled = format!("dbt_api_environment_is_silent{{account=\"1\",environment=\"{SLUG}\"}}");
    installation.until_metric(&labelled, |silent| silent == 1.0).await;
    assert_eq!(installation.metric("dbt_api_silent_environments").await, Some(1.0));
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "again", newest_manifest()).await;
    installation.run_with_total(&token, "1", 11).await;
    assert_eq!(silent(&installation.system), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_or_are_not_used_are_counted() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    assert_eq!(
        installation.get(&token, "/api/v2/accounts/1/runs/").await.0,
        StatusCode::OK
    );
    installation.token("1", "read", &["--expires-in", "20d"]);
    let old = installation.token("1", "read", &[]);
    // A token that was rotated expires soon, but another one replaces it.
    let rotated = installation.token("1", "read,upload", &[]);
    installation.command(&["token", "rotate", &rotated.id]);
    let expiring = installation.token("1", "read", &["--expires-in", "10d"]);
    let statement = format!(
        "UPDATE tokens SET issued_at = issued_at - interval '31 days' WHERE id = '{}'",
        old.id
    );
    let pool = installation.system.database.pool("dbt_api_projector");
    sqlx::query(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    let (code, shown, errors) = status(&installation.system);
    assert_eq!(code, Some(0), "{errors}{shown}");
    let ids = |list: &str| -> Vec<String> {
        let tokens = shown[list].as_array().unwrap();
        tokens
            .iter()
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (ids("expiring_tokens"), ids("unused_tokens")),
        (vec![expiring.id], vec![old.id])
    );
    let printed = Command::new(BINARY)
        .arg("status")
        .envs(installation.system.environment())
        .output()
        .unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.contains("EXPIRES ") && text.contains("UNUSED SINCE"), "{text}");

    let installation = Installation::of(installation.system, "projector").await;
    installation
        .until_metric("dbt_api_tokens_expiring", |tokens| tokens == 1.0)
        .await;
    installation
        .until_metric("dbt_api_tokens_unused", |tokens| tokens == 1.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_503_has_the_error_of_the_system() {
    let mut system = prepared().await;
    // Nothing listens there.
    let url = system.database.url_through("127.0.0.1:1");
    let installation = Installation::of(system, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    system = installation.system;
    system.variables.push(("DB_URL".to_owned(), url));
    let installation = Installation::of(system, "serve").await;
    let reading = installation.send(reqwest::Method::GET, &token, "/api/v2/accounts/1/runs/");
    assert_eq!(reading.await.0, StatusCode::SERVICE_UNAVAILABLE);
    let path = format!("/api/internal/environments/{SLUG}/files?slug=00000000-0000-4000-8000-000000000001");
    let deleting = installation.send(reqwest::Method::DELETE, &token, &path);
    assert_eq!(deleting.await.0, StatusCode::SERVICE_UNAVAILABLE);
    let answers = wait_until("both answers are logged", async || {
        let log = installation.service.log().into_iter();
        let answers: Vec<String> = log.filter(|line| line.contains("answered 503")).collect();
        (answers.len() == 2).then_some(answers)
    })
    .await;
    let has_cause = |line: &String| line.contains("Connection refused (os error 111)");
    assert!(answers.iter().all(has_cause), "{answers:#?}");
}
