//! What the build of an earlier commit, 9b56660, wrote can still be read: its bucket, and its database. `fixtures/earlier` holds both.

mod intended;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{Database, System, repository_file, run_command};

use crate::installation::{BINARY, Installation, SLUG, Token};
use intended::differences_of_newer_rules;
use rows::{Rows, differences, recorded, rows_of};

/// The last migration of the commit.
const LAST_MIGRATION: i64 = 20_261_124_000_015;

/// The number of a recorded run, in the environment `dev123` of account 1, and its manifest.
const RUN: i64 = 1;
const MANIFEST: &str = "fixtures/situations/build-passes/1.manifest.json";

/// Starts a system with the recorded bucket and an empty database.
async fn system_with_bucket() -> System {
    let mut system = System::start().await;
    system.database = Database::create_empty().await;
    copy_folder(&repository_file("fixtures/earlier/bucket"), system.storage());
    system
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Creates the commit's tables in the empty database, and fills them with the rows that its build left.
async fn fill(database: &Database) {
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    let migrations = read_model::migrations::MIGRATOR.iter();
    let earlier: Vec<Migration> = migrations
        .filter(|migration| migration.version <= LAST_MIGRATION)
        .cloned()
        .collect();
    Migrator::with_migrations(earlier).run(&mut connection).await.unwrap();
    let rows = fs::read_to_string(repository_file("fixtures/earlier/database.sql")).unwrap();
    connection.execute(AssertSqlSafe(rows)).await.unwrap();
    connection.close().await.unwrap();
}

/// Runs `dbt-api migrate` and returns what it prints for people.
fn migrate(system: &System) -> String {
    let mut command = Command::new(BINARY);
    let output = command.arg("migrate").envs(system.environment()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_verified(system: &System) {
    let verified = run_command(BINARY, &["rebuild", "--verify"], system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

/// Checks that these differences from the recorded rows are those that newer rules intend.
fn assert_as_intended(found: &BTreeSet<String>) {
    let intended = differences_of_newer_rules();
    let unexpected: Vec<&String> = found.difference(&intended).collect();
    let absent: Vec<&String> = intended.difference(found).collect();
    assert!(
        unexpected.is_empty() && absent.is_empty(),
        "unexpected: {unexpected:#?}\nabsent: {absent:#?}"
    );
}

async fn upload(installation: &Installation, token: &Token, run_id: &'static str, manifest: String) {
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("dag_id", "uploaded-later")
        .text("run_id", run_id)
        .part("file", Part::bytes(manifest.into_bytes()).file_name("manifest.json"));
    let (status, answer) = installation.upload(token, form).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

/// Returns the rows of a list, all of which fit in one page.
async fn list(installation: &Installation, token: &Token, path: &str) -> Vec<Value> {
    let (status, page) = installation.get(token, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {page}");
    let rows = page["data"].as_array().unwrap().clone();
    assert_eq!(page["extra"]["pagination"]["total_count"], rows.len(), "{path}");
    rows
}

/// Returns the differences between the manifests of the recorded run and this one, each as `[unique_id, change, fields]`.
async fn changes(installation: &Installation, token: &Token, run: &Value) -> Vec<Value> {
    let path = format!("/api/v2/accounts/1/runs/{run}/changes/?from={RUN}&limit=100");
    let changes = list(installation, token, &path).await.into_iter();
    changes
        .map(|change| json!([change["unique_id"], change["change"], change["fields"]]))
        .collect()
}

/// Checks that the service shows the recorded runs under their numbers, and the nodes of one of them.
async fn assert_runs_and_nodes_are_shown(installation: &Installation, token: &Token, expected: &Rows) {
    let shown = list(installation, token, "/api/v2/accounts/1/runs/?limit=100").await;
    let shown: BTreeSet<String> = shown.iter().map(|run| run["id"].to_string()).collect();
    let runs = expected["runs"].iter().filter(|(_, run)| run["account_id"] == 1);
    assert_eq!(shown, runs.map(|(id, _)| id.clone()).collect());

    let mut artifacts = expected["artifacts"].values();
    let is_manifest = |file: &&Value| file["run_id"] == RUN && file["kind"] == "manifest";
    let file = artifacts.find(is_manifest).unwrap();
    let sha256 = file["sha256"].as_str().unwrap();
    let nodes = list(
        installation,
        token,
        &format!("/api/v2/accounts/1/runs/{RUN}/nodes/?limit=100"),
    )
    .await;
    let mut nodes: Vec<&str> = nodes.iter().map(|node| node["unique_id"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    let of_manifest = &expected["manifests"][&format!("1/{sha256}")]["nodes"];
    assert_eq!(json!(nodes), *of_manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn recover_rebuilds_a_bucket_written_by_commit_9b56660_to_the_same_ids_and_rows() {
    let system = system_with_bucket().await;
    let recovered = run_command(BINARY, &["recover"], &system);
    assert_eq!(recovered["events"]["dead_letters"], 0, "{recovered}");
    assert_as_intended(&differences(&recorded(), &rows_of(&system).await));
    assert_verified(&system);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_commit_9b56660_is_migrated_serves_at_once_and_is_rebuilt() {
    let system = system_with_bucket().await;
    fill(&system.database).await;
    let recorded = recorded();
    assert_eq!(differences(&recorded, &rows_of(&system).await), BTreeSet::new());
    let announced = migrate(&system);
    for words in [
        "stop all projectors of earlier versions before you start one of this version",
        "The tables are up to date.",
        "Earlier uploads were projected by an older version.",
        "Run `dbt-api rebuild --accept-differences` soon; uploads and reads continue meanwhile.",
    ] {
        assert!(announced.contains(words), "{announced}");
    }
    assert_eq!(differences(&recorded, &rows_of(&system).await), BTreeSet::new());

    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    assert_runs_and_nodes_are_shown(&installation, &token, &recorded).await;

    // The same manifest, the same project after another invocation, and the project after a change.
    let manifest = fs::read_to_string(repository_file(MANIFEST)).unwrap();
    let invocation: Value = serde_json::from_str::<Value>(&manifest).unwrap()["metadata"]["invocation_id"].take();
    let again = manifest.replace(invocation.as_str().unwrap(), "00000000-0000-4000-8000-000000000001");
    let changed = manifest.replace("pieces * price as worth", "pieces * price * 2 as worth");
    assert!(again != manifest && changed != manifest);
    let runs = list(&installation, &token, "/api/v2/accounts/1/runs/?limit=100").await;
    let mut total = i64::try_from(runs.len()).unwrap();
    let mut uploaded = Vec::new();
    for (run_id, manifest) in [("same", manifest), ("again", again), ("changed", changed)] {
        upload(&installation, &token, run_id, manifest).await;
        total += 1;
        uploaded.push(installation.run_with_total(&token, "1", total).await["id"].clone());
    }
    let formats = "SELECT count(DISTINCT format) FROM nodes WHERE account_id = 1";
    assert_eq!(installation.count(formats).await, 2, "the formats are mixed");
    let assert_changes = async || {
        for same in &uploaded[..2] {
            assert_eq!(changes(&installation, &token, same).await, Vec::<Value>::new());
        }
        let cake = json!(["model.bakery.cake", "changed", ["raw_code"]]);
        assert_eq!(changes(&installation, &token, &uploaded[2]).await, [cake]);
    };
    assert_changes().await;

    installation.command(&["rebuild", "--accept-differences"]);
    assert_verified(&installation.system);
    assert!(!migrate(&installation.system).contains("rebuild"));
    let mut found = differences(&recorded, &rows_of(&installation.system).await);
    found.retain(|line| !line.ends_with(": new"));
    assert_as_intended(&found);
    assert_changes().await;
}
