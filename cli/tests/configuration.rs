//! Tests the settings with the real program, without anything that they name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// The settings that have no defaults.
const DATABASE: (&str, &str) = ("DB_URL", "postgresql://me:pa55@db.example/dbt_api");

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dbt-api"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn succeeds(output: Output) -> String {
    let (result, errors) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    assert!(output.status.success(), "{errors:?}");
    result.unwrap()
}

fn fails(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// The variables in the first column of README's table. `…PORT` is short for a variable of Datacoves' database.
fn documented() -> BTreeSet<String> {
    let readme = std::fs::read_to_string(testkit::repository_file("README.md")).unwrap();
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("Configuration\n"));
    let rows = section.unwrap().lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(|name| name.replace('…', "DATACOVES_DB_")).collect()
}

#[test]
fn the_readme_lists_the_variables_that_are_read() {
    let folder = tempfile::tempdir().unwrap();
    // Settings that are wrong do not matter.
    let wrong = [("PORT", "x"), ("STORAGE_ADAPTER", "s3")];
    let listed = succeeds(run(folder.path(), &["--json", "config", "variables"], &wrong));
    let listed: Vec<String> = serde_json::from_str(&listed).unwrap();
    let read: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), read.len(), "a variable is listed twice: {listed:?}");
    let documented = documented();
    let missing: Vec<_> = read.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&read).collect();
    assert!(missing.is_empty(), "not in README's table: {missing:?}");
    assert!(unknown.is_empty(), "in README's table, but not read: {unknown:?}");
}

#[test]
fn the_check_shows_what_the_settings_name_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let minio = [
        DATABASE,
        ("STORAGE_ADAPTER", "minio"),
        ("MINIO_URL", "minio:9000"),
        ("MINIO_BUCKET_NAME", "artifacts"),
        ("MINIO_ACCESS_KEY", "pa55"),
        ("MINIO_SECRET_KEY", "pa55"),
        ("NATS_URL", "nats://me:pa55@one,me:pa55@two:4333"),
        ("PUBLIC_URL", "https://dbt.example/"),
        ("S3_REGION", "ignored"),
    ];
    let text = succeeds(run(folder.path(), &["config", "check"], &minio));
    let expected = "bucket           artifacts
database_host    db.example
database_name    dbt_api
database_port    5432
endpoint         http://minio:9000/
nats_url         nats://one,nats://two:4333
public_url       https://dbt.example
settings_file    -
storage_adapter  minio
The settings are valid.
";
    assert_eq!(text, expected);

    let text = succeeds(run(folder.path(), &["--json", "config", "check"], &[DATABASE]));
    let expected = json!({
        "storage_adapter": "local",
        "folder": folder.path().join("data"),
        "database_host": "db.example",
        "database_port": 5432,
        "database_name": "dbt_api",
        "nats_url": "nats://127.0.0.1:4222",
        "public_url": "http://localhost:8080",
        "settings_file": null,
        "warnings": [],
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn unknown_settings_in_the_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("dbt-api.toml"),
        "db_url = 'postgresql://db.example/x'\nport = 80\n",
    )
    .unwrap();
    let text = succeeds(run(folder.path(), &["config", "check"], &[]));
    assert!(
        text.contains("db.example") && text.contains("http://localhost:80\n"),
        "{text}"
    );
    let file = std::fs::canonicalize(folder.path()).unwrap().join("dbt-api.toml");
    assert!(
        text.contains(&format!("settings_file    {}\n", file.display())),
        "{text}"
    );
    let missing = ("DBT_API_CONFIG", "missing.toml");
    let errors = fails(run(folder.path(), &["config", "check"], &[missing, DATABASE]));
    let place = format!("missing.toml in the folder {}", folder.path().display());
    assert!(errors.contains(&place) && errors.contains("DBT_API_CONFIG"), "{errors}");

    std::fs::write(folder.path().join("other.toml"), "db_hots = 'pa55'\nPORT = 'x'\n").unwrap();
    let other = ("DBT_API_CONFIG", "other.toml");
    let errors = fails(run(folder.path(), &["config", "check"], &[other, DATABASE]));
    let expected = "Error: invalid settings:
  - invalid `PORT`: expected a number from 0 to 65535, got `x`
  - unknown setting `db_hots` in other.toml: did you mean DB_HOST?
";
    assert_eq!(errors, expected);
    assert_eq!(fails(run(folder.path(), &["serve"], &[other, DATABASE])), expected);
}

#[test]
fn variables_that_look_misspelled_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let misspelled = ("NATS_ULR", "nats://me:pa55@one");
    let warning = "unknown variable NATS_ULR: did you mean NATS_URL?";
    let variables = [
        DATABASE,
        misspelled,
        ("DB_PATH", "/of/another/program"),
        ("LOG_FORMAT", "json"),
    ];
    let text = succeeds(run(folder.path(), &["config", "check"], &variables));
    assert!(
        text.contains(&format!("\nWarning: {warning}\nThe settings are valid.\n")),
        "{text}"
    );
    let text = succeeds(run(folder.path(), &["--json", "config", "check"], &variables));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["warnings"],
        json!([warning])
    );

    // Nothing listens on this port, so the command fails, after it has logged the warning.
    let variables = [variables.as_slice(), &[("PORT", "1")]].concat();
    let log = fails(run(folder.path(), &["healthcheck"], &variables));
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(warning), "{log}");
    assert!(!log.contains("pa55"), "{log}");

    let errors = fails(run(folder.path(), &["config", "check"], &[misspelled]));
    assert!(
        errors.contains("missing `DB_HOST`") && errors.ends_with(&format!("\n  - warning: {warning}\n")),
        "{errors}"
    );
}
