//! Manifests stored by the earlier dbt-api are imported once, with the time at which they were stored.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::s3::S3Server;
use testkit::{System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, SLUG, newest_manifest, prepare, prepared};

/// The smallest valid manifest.
const SMALL: &[u8] = br#"{"metadata": {"dbt_version": "1.4.10"}, "nodes": {}, "macros": {}}"#;

const LONG_AGO: &str = "2023-12-02T09:49:46.105347Z";

fn long_ago() -> DateTime<Utc> {
    LONG_AGO.parse().unwrap()
}

/// Stores an object as the earlier dbt-api did.
pub(crate) fn put(folder: &Path, key: &str, content: &[u8], time: DateTime<Utc>) {
    let path = folder.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time.into())
        .unwrap();
}

pub(crate) fn key_of_run(account: &str, environment: &str, dag: &str, run: &str) -> String {
    format!("accounts/{account}/environments/{environment}/dags/{dag}/dag_runs/{run}/manifest.json")
}

fn key_of_manifest(account: &str, environment: &str, id: &str) -> String {
    format!("accounts/{account}/environments/{environment}/manifests/{id}/manifest.json")
}

fn uploads(system: &System) -> Vec<Value> {
    let listed = run_command(BINARY, &["events", "list", "--type", "dbt."], system);
    let ids = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap());
    ids.map(|id| run_command(BINARY, &["events", "show", id], system))
        .collect()
}

/// Counts the files below a folder. A name with `#` belongs to an unfinished file.
pub(crate) fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                usize::from(!path.to_string_lossy().contains('#'))
            }
        })
        .sum()
}

async fn count(system: &System, statement: &'static str) -> i64 {
    let pool = system.database.pool("dbt_api_projector");
    sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap()
}

/// Imports both forms of keys, with special characters in the run ids, for both accounts.
fn import_twice(system: &System, folder: &Path) {
    let keys = [
        (
            key_of_run("1", SLUG, "load", "manual__2023-12-02T09:49:46.105347+00:00"),
            newest_manifest(),
        ),
        (
            key_of_run("1", SLUG, "load", "scheduled__2023-12-02T10%3A00%3A00%2B00%3A00"),
            SMALL.to_vec(),
        ),
        (key_of_manifest("1", SLUG, "17"), SMALL.to_vec()),
        (
            key_of_run("2", SLUG, "load", "manual__2023-12-02T09:49:46.105347+00:00"),
            SMALL.to_vec(),
        ),
    ];
    for (number, (key, content)) in (0..).zip(&keys) {
        put(folder, key, content, long_ago() + TimeDelta::hours(number));
    }

    let report = run_command(BINARY, &["import"], system);
    assert_eq!(
        (&report["found"], &report["imported"]),
        (&json!(4), &json!(4)),
        "{report}"
    );
    assert_eq!(report["events"]["applied"], 4, "{report}");
    let events = uploads(system);
    let imported: BTreeMap<String, (Value, Value, Value)> = events
        .iter()
        .map(|event| {
            let data = &event["data"];
            assert_eq!(data["uploader"], "00000000-0000-0000-0000-000000000000");
            let time: DateTime<Utc> = event["time"].as_str().unwrap().parse().unwrap();
            let imported = (
                data["account_id"].clone(),
                data["dag_id"].clone(),
                data["run_id"].clone(),
            );
            // S3 has times in milliseconds.
            let hours = (time + TimeDelta::milliseconds(1) - long_ago()).num_hours();
            (hours.to_string(), imported)
        })
        .collect();
    let expected = [
        (
            "0",
            (
                json!(1),
                json!("load"),
                json!("manual__2023-12-02T09:49:46.105347+00:00"),
            ),
        ),
        (
            "1",
            (json!(1), json!("load"), json!("scheduled__2023-12-02T10:00:00+00:00")),
        ),
        ("2", (json!(1), Value::Null, Value::Null)),
        (
            "3",
            (
                json!(2),
                json!("load"),
                json!("manual__2023-12-02T09:49:46.105347+00:00"),
            ),
        ),
    ];
    assert_eq!(
        imported,
        expected.map(|(hour, imported)| (hour.to_owned(), imported)).into()
    );

    let again = run_command(BINARY, &["import"], system);
    assert_eq!(
        (&again["imported_before"], &again["imported"]),
        (&json!(4), &json!(0)),
        "{again}"
    );
    assert_eq!(uploads(system), events);

    // A replaced object is a new manifest.
    put(folder, &keys[2].0, SMALL, long_ago() + TimeDelta::days(1));
    let replaced = run_command(BINARY, &["import"], system);
    assert_eq!(
        (&replaced["imported_before"], &replaced["imported"]),
        (&json!(3), &json!(1)),
        "{replaced}"
    );

    let verified = run_command(BINARY, &["rebuild", "--verify"], system);
    assert_eq!(verified["differences"], json!([]));
    assert_eq!(verified["events"]["applied"], 5, "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_in_the_same_folder_are_imported_once() {
    let system = prepared().await;
    import_twice(&system, system.storage());
    let first = count(
        &system,
        "SELECT count(*) FROM artifacts WHERE event_time = '2023-12-02T09:49:46.105347Z'",
    );
    assert_eq!(first.await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_in_s3_are_imported_once() {
    let s3 = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables = s3.variables("artifacts").unwrap();
    let system = prepare(system);
    import_twice(&system, &s3.folder("artifacts"));

    // The manifest is in another bucket of the same store.
    s3.settings("earlier").unwrap();
    put(
        &s3.folder("earlier"),
        &key_of_manifest("1", SLUG, "18"),
        SMALL,
        long_ago(),
    );
    let report = run_command(BINARY, &["import", "--from", "earlier"], &system);
    assert_eq!(
        (&report["found"], &report["imported"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    let (code, _, errors) = try_command(BINARY, &["import", "--from", "missing"], &system);
    assert!(code == Some(1) && errors.contains("does not exist"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_made_before_the_import_remains_the_newest() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "live", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;

    let storage = installation.system.storage().to_owned();
    put(&storage, &key_of_run("1", SLUG, "load", "old"), SMALL, long_ago());
    assert_eq!(installation.command(&["import"])["events"]["applied"], 1);

    let (_, environment) = installation.get(&token, "/api/v2/accounts/1/environments/1/").await;
    assert_eq!(environment["data"]["dbt_version"], "1.12.0");
    let (_, runs) = installation
        .get(&token, "/api/v2/accounts/1/runs/?order_by=-created_at")
        .await;
    let created: Vec<&str> = runs["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["created_at"].as_str().unwrap())
        .collect();
    assert_eq!(created.len(), 2);
    assert!(created[1].starts_with("2023-12-02 09:49:46"), "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_continues() {
    const MANIFESTS: usize = 200;
    let system = prepared().await;
    for number in 0..MANIFESTS {
        let key = key_of_run("1", SLUG, "load", &format!("run-{number}"));
        put(system.storage(), &key, SMALL, long_ago());
    }
    let mut import = Command::new(BINARY)
        .arg("import")
        .envs(system.environment())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let journal = system.storage().join("events/uploads");
    wait_until("the import has imported some manifests", async || {
        (files_below(&journal) > 10).then_some(())
    })
    .await;
    import.kill().unwrap();
    import.wait().unwrap();
    let before = files_below(&journal);
    assert!(before < MANIFESTS, "it was killed too late");

    let report = run_command(BINARY, &["import"], &system);
    assert_eq!(report["imported"], MANIFESTS - before, "{report}");
    assert_eq!(files_below(&journal), MANIFESTS);
    let runs = count(
        &system,
        "SELECT count(DISTINCT airflow_run_id) FROM runs WHERE dag_id = 'load'",
    );
    assert_eq!(runs.await, i64::try_from(MANIFESTS).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_cannot_be_imported_are_reported_and_do_not_stop_others() {
    let mut system = prepared().await;
    system
        .variables
        .push(("MAX_UPLOAD_BYTES".to_owned(), "1000".to_owned()));
    let storage = system.storage().to_owned();
    let refused = [
        ("text", b"PK\x03\x04".to_vec(), "not JSON"),
        ("half", SMALL[..SMALL.len() - 5].to_vec(), "ends"),
        ("empty", Vec::new(), "empty"),
        ("large", newest_manifest(), "MAX_UPLOAD_BYTES allows 1000"),
    ];
    for (id, content, _) in &refused {
        put(&storage, &key_of_manifest("1", SLUG, id), content, long_ago());
    }
    put(&storage, &key_of_manifest("1", SLUG, "good"), SMALL, long_ago());
    put(&storage, &key_of_run("1", "old", "load", "run"), SMALL, long_ago());
    put(&storage, &key_of_manifest("57", SLUG, "1"), SMALL, long_ago());
    put(
        &storage,
        "accounts/1/environments/dev123/files/1/graph_summary.json",
        b"{}",
        long_ago(),
    );

    let (code, output, errors) = try_command(BINARY, &["import"], &system);
    assert_eq!(code, Some(1), "{errors}");
    for message in [
        "skipped manifests of environments that are not in the directory",
        "account 1, environment `old` (manifests: 1): add it with `dbt-api environment add --account 1 --slug old …`",
        "account 57, environment `dev123` (manifests: 1): first add the account with `dbt-api account add --id 57 …`",
    ] {
        assert!(errors.contains(message), "{errors}");
    }
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (&report["imported"], &report["events"]["applied"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(
        (&report["without_environment"], &report["other_objects"]),
        (&json!(2), &json!(1)),
        "{report}"
    );
    assert_eq!(report["refused"].as_array().unwrap().len(), refused.len(), "{report}");
    for (id, _, problem) in &refused {
        let key = key_of_manifest("1", SLUG, id);
        let entry = report["refused"]
            .as_array()
            .unwrap()
            .iter()
            .find(|refused| refused["key"] == key);
        assert!(
            entry.unwrap()["problem"].as_str().unwrap().contains(problem),
            "{entry:?}"
        );
    }

    fs::remove_dir_all(storage.join("accounts/57")).unwrap();
    let add = [
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "1",
        "--name",
        "Old",
        "--slug",
        "old",
    ];
    run_command(BINARY, &add, &system);
    let again = run_command(BINARY, &["import"], &system);
    assert_eq!(
        (&again["imported"], &again["imported_before"]),
        (&json!(1), &json!(1)),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_environment_can_be_imported_from_another_folder_after_a_dry_run() {
    let system = prepared().await;
    let elsewhere = system.storage().join("elsewhere");
    let from = elsewhere.to_str().unwrap();
    let (code, _, errors) = try_command(BINARY, &["import", "--from", from], &system);
    assert!(
        code == Some(1) && errors.contains("invalid --from: expected a folder that exists, got `"),
        "{errors}"
    );
    for account in ["1", "2"] {
        put(&elsewhere, &key_of_manifest(account, SLUG, "1"), SMALL, long_ago());
        put(&elsewhere, &key_of_manifest(account, "other", "1"), SMALL, long_ago());
    }

    let part = ["import", "--from", from, "--account", "1", "--environment", SLUG];
    let counted = run_command(BINARY, &[&part[..], &["--dry-run"]].concat(), &system);
    assert_eq!(
        (&counted["found"], &counted["new"]),
        (&json!(1), &json!(1)),
        "{counted}"
    );
    assert_eq!(counted["imported"], 0, "{counted}");
    assert_eq!(uploads(&system), Vec::<Value>::new());
    assert_eq!(files_below(&system.storage().join("artifacts")), 0);
    assert_eq!(count(&system, "SELECT count(*) FROM artifacts").await, 0);

    let imported = run_command(BINARY, &part, &system);
    assert_eq!(
        (&imported["found"], &imported["imported"]),
        (&json!(1), &json!(1)),
        "{imported}"
    );
    assert_eq!(uploads(&system).len(), 1);
    assert_eq!(files_below(&elsewhere), 4);
}
