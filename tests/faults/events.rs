//! Operators read the journal, and apply parts of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::mpsc;

use chrono::{TimeDelta, Utc};
use clock::Clock;
use serde_json::Value;
use testkit::{PATIENCE, run_command};

use crate::history::{
    begin_command, bucket_of, event_file, pool_of, stopped_with_files, store_file, write_history, write_upload,
};
use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_events_are_listed_without_reading_others_and_damaged_ones_are_skipped() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    let bucket = bucket_of(&installation.system);
    let mut events = Vec::new();
    for number in 0..40 {
        let minutes = 3_000 - 60 * number;
        events.push(write_upload(&bucket, (1, 1), &format!("run-{number}"), minutes, &file).await);
    }
    std::fs::write(event_file(&installation.system, &events[10]), "{").unwrap();
    let list = |arguments: &[&str]| -> (Vec<String>, String) {
        let output = Command::new(BINARY)
            .args(["--json", "events", "list", "--type", "dbt."])
            .args(arguments)
            .envs(installation.system.environment())
            .env("LOG_LEVEL", "warn")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let ids = lines.iter().map(|line| line["id"].as_str().unwrap().to_owned());
        (ids.collect(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();

    let (newest, warnings) = list(&["--to", "2m", "--limit", "3"]);
    assert_eq!(newest, ids[37..], "oldest first");
    assert_eq!(warnings, "", "the damaged event is not among the newest");
    let (between, warnings) = list(&["--from", "2290m", "--to", "2050m"]);
    assert_eq!((between.len(), warnings.as_str()), (4, ""));
    let (all, warnings) = list(&["--to", "2m", "--limit", "1000"]);
    assert_eq!(all.len(), 39);
    assert!(warnings.contains(&ids[10]), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_each_new_event_once() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    let bucket = bucket_of(&installation.system);
    let before = write_upload(&bucket, (1, 1), "before", 30, &file).await;
    write_upload(&bucket, (2, 2), "of another", 20, &file).await;
    let tail = [
        "events",
        "tail",
        "--environment",
        "1",
        "--from",
        "1h",
        "--type",
        "dbt.artifacts.",
    ];
    let mut tailing = begin_command(&installation.system, &tail);
    let (sender, lines) = mpsc::channel();
    let output = BufReader::new(tailing.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let next = || lines.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next()["id"], before.id.to_string());
    assert_eq!(next()["run_id"], Value::Null, "the stored file has no run");
    for run in ["one", "two", "three"] {
        installation.upload_manifest(&token, run, newest_manifest()).await;
        // The journal is listed again, but no event is shown twice.
        assert_eq!(next()["run_id"], run);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_applies_only_selected_events() {
    let (system, files) = stopped_with_files().await;
    let pool = pool_of(&system);
    let applied = async || -> BTreeSet<uuid::Uuid> {
        let applied = "SELECT event_id FROM ledger";
        sqlx::query_scalar(applied)
            .fetch_all(&pool)
            .await
            .unwrap()
            .into_iter()
            .collect()
    };
    let before = applied().await;
    let events = write_history(&bucket_of(&system), &files, 60, 51).await;
    let to = Clock::System.now() - TimeDelta::days(2);
    let select = |environment: &str, earlier: bool| -> BTreeSet<uuid::Uuid> {
        let subject = format!("accounts/{environment}");
        let selected = events
            .iter()
            .filter(|event| event.subject == subject && (!earlier || event.time < to));
        selected.map(|event| event.id.0).collect()
    };
    let time = to.with_timezone(&Utc).to_rfc3339();
    let outcomes = run_command(BINARY, &["replay", "--environment", "1", "--to", &time], &system);
    let mut expected = select("1", true);
    assert!(expected.len() > 5 && expected.len() < select("1", false).len());
    assert_eq!(outcomes["applied"], expected.len());
    expected.extend(&before);
    assert_eq!(applied().await, expected);
    run_command(BINARY, &["replay", "--environment", "1"], &system);
    expected.extend(select("1", false));
    assert_eq!(applied().await, expected);
}
