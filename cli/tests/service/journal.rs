//! Past hours of the journal are packed and trimmed, and everything that reads the journal works as before.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::s3::S3Server;
use testkit::{Database, System, run_command, try_command};

use crate::import::{files_below, key_of_run, put};
use crate::installation::{BINARY, SLUG, prepare, prepared};

/// The number of manifests, three in each hour.
const MANIFESTS: usize = 12;

fn long_ago() -> DateTime<Utc> {
    "2023-12-02T09:05:00Z".parse().unwrap()
}

fn manifest(number: usize) -> Vec<u8> {
    format!(r#"{{"metadata": {{"dbt_version": "1.4.{number}"}}, "nodes": {{}}, "macros": {{}}}}"#).into_bytes()
}

fn put_manifest(folder: &Path, number: usize) {
    let key = key_of_run("1", SLUG, "load", &format!("run-{number}"));
    let time = long_ago() + TimeDelta::minutes(20 * i64::try_from(number).unwrap());
    put(folder, &key, &manifest(number), time);
}

async fn runs(system: &System) -> Vec<String> {
    let pool = system.database.pool("dbt_api_projector");
    let rows = "SELECT row(id, airflow_run_id, created_at, finished_at, status)::text FROM runs ORDER BY id";
    sqlx::query_scalar(rows).fetch_all(&pool).await.unwrap()
}

fn listed(system: &System) -> Value {
    run_command(BINARY, &["events", "list", "--limit", "1000"], system)
}

fn assert_verified(system: &System) {
    let verified = run_command(BINARY, &["rebuild", "--verify"], system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

/// Packs and trims imported events of many hours in the bucket that is stored in this folder.
async fn pack_and_trim(mut system: System, folder: &Path) {
    for number in 0..MANIFESTS {
        put_manifest(folder, number);
    }
    let command = |system: &System, arguments: &[&str]| run_command(BINARY, arguments, system);
    assert_eq!(command(&system, &["import"])["imported"], MANIFESTS);
    let (events, before) = (listed(&system), runs(&system).await);
    assert_eq!(before.len(), MANIFESTS);

    let nothing = command(&system, &["journal", "trim", "--older-than", "30d", "--apply"]);
    assert_eq!(
        (&nothing["objects"], &nothing["not_packed"]),
        (&json!(0), &json!(MANIFESTS))
    );
    let packed = command(&system, &["journal", "pack"]);
    assert_eq!(packed, json!({ "segments": 4, "events": MANIFESTS, "unreadable": 0 }));
    assert_eq!(command(&system, &["journal", "pack"])["segments"], 0);
    let single = || files_below(&folder.join("events/uploads"));
    let young = command(&system, &["journal", "trim", "--older-than", "20000d", "--apply"]);
    assert_eq!(young["objects"], 0);
    let counted = command(&system, &["journal", "trim", "--older-than", "30d"]);
    assert_eq!(
        (&counted["deleted"], &counted["objects"]),
        (&json!(false), &json!(MANIFESTS))
    );
    assert_eq!(single(), MANIFESTS);
    let trimmed = command(&system, &["journal", "trim", "--older-than", "30d", "--apply"]);
    assert_eq!(
        (&trimmed["deleted"], &trimmed["objects"]),
        (&json!(true), &json!(MANIFESTS))
    );
    assert_eq!(single(), 0);

    // Everything that reads the journal finds the events in the segments.
    assert_eq!(listed(&system), events);
    let newest = command(&system, &["events", "list", "--type", "dbt.", "--limit", "2"]);
    assert_eq!(newest.as_array().unwrap().len(), 2);
    let id = newest[0]["id"].as_str().unwrap();
    assert_eq!(command(&system, &["events", "show", id])["id"], id);
    assert_verified(&system);
    assert_eq!(command(&system, &["import"])["imported_before"], MANIFESTS);
    let from = (long_ago() - TimeDelta::hours(2)).to_rfc3339();
    let to = (long_ago() + TimeDelta::days(2)).to_rfc3339();
    let again = command(&system, &["replay", "--again", "--from", &from, "--to", &to]);
    assert_eq!(again["applied"], MANIFESTS, "{again}");
    command(&system, &["rebuild"]);
    assert_eq!(runs(&system).await, before);

    // A late event of a trimmed hour.
    let key = key_of_run("1", SLUG, "load", "late");
    put(folder, &key, &manifest(100), long_ago() + TimeDelta::minutes(3));
    assert_eq!(command(&system, &["import"])["imported"], 1);
    assert_verified(&system);
    assert_eq!(command(&system, &["journal", "pack"])["events"], 1);
    command(&system, &["journal", "trim", "--older-than", "30d", "--apply"]);
    assert_verified(&system);

    // An empty database from the bucket alone.
    let before = runs(&system).await;
    system.database = Database::create_empty().await;
    let recovered = command(&system, &["recover"]);
    assert_eq!(recovered["events"]["unreadable"], 0, "{recovered}");
    assert_eq!(runs(&system).await, before);
    assert_verified(&system);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_in_a_folder_is_packed_and_trimmed() {
    let system = prepared().await;
    let folder = system.storage().to_owned();
    pack_and_trim(system, &folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_in_s3_is_packed_and_trimmed() {
    let s3 = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables = s3.variables("artifacts").unwrap();
    pack_and_trim(prepare(system), &s3.folder("artifacts")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_stops_recovery_until_it_is_restored() {
    let mut system = prepared().await;
    put_manifest(system.storage(), 0);
    run_command(BINARY, &["import"], &system);
    run_command(BINARY, &["journal", "pack"], &system);
    run_command(BINARY, &["journal", "trim", "--older-than", "30d", "--apply"], &system);
    let hour = system.storage().join("events/segments/2023/12/02/09");
    let files = std::fs::read_dir(hour).unwrap().map(|entry| entry.unwrap().path());
    let segment = files
        .into_iter()
        .find(|file| file.extension().unwrap() == "zst")
        .unwrap();
    let intact = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &intact[..10]).unwrap();

    system.database = Database::create_empty().await;
    for command in [&["recover"][..], &["replay"], &["events", "list"]] {
        let (code, output, errors) = try_command(BINARY, command, &system);
        assert!(
            code == Some(1) && errors.contains("restore this object"),
            "{command:?}: {output}{errors}"
        );
    }
    std::fs::write(&segment, intact).unwrap();
    assert_eq!(run_command(BINARY, &["recover"], &system)["events"]["applied"], 1);
}
