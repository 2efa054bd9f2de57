//! Tests of what commands print for people.

use std::process::Command;

use reqwest::multipart::{Form, Part};
use testkit::{System, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest, prepared};

/// Runs a command as people do, without `--json`.
pub(crate) fn run(system: &System, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .envs(system.environment())
        .env("LOG_LEVEL", "error");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_100_columns_with_what_people_look_for_first() {
    let installation = Installation::start().await;
    let long = "a name that nobody can fit into a table ".repeat(10);
    let slug = "s".repeat(63);
    let of = ["--account", "3", "--name", &long, "--slug", &slug];
    installation.command(&["account", "add", &long, "--slug", &slug]);
    installation.command(&[&["project", "add"], &of[..]].concat());
    installation.command(&[&["environment", "add", "--project", &slug], &of[..]].concat());
    let more = ["--name", &long, "--environment", &slug, "--expires-in", "90d"];
    let token = installation.token("3", "read,upload", &more[2..]);
    let deleted = installation.token("3", "read,upload", &more[2..]);
    installation.command(&[&["token", "create", "--account", "3"], &more[..]].concat());
    let form = Form::new()
        .text("run_id", long.clone())
        .part("file", Part::bytes(newest_manifest()).file_name("file"));
    assert_eq!(installation.upload(&token, form).await.0, 201);
    wait_until("the use of the token is recorded", async || {
        let listed = installation.command(&["token", "list", "--account", "3"]);
        listed[0]["last_used_at"].is_string().then_some(())
    })
    .await;
    installation.command(&["token", "delete", &deleted.id]);
    let insert = "INSERT INTO dead_letters (event_id, account_id, event_type, event_time, died_at, cause)
        VALUES (gen_random_uuid(), 3, 'dbt.artifacts.uploaded.v1', now(), now(), repeat('a cause ', 100))";
    let pool = installation.system.database.pool("dbt_api_projector");
    sqlx::query(insert).execute(&pool).await.unwrap();

    for (arguments, title) in [
        (vec!["account", "list"], "ID  NAME"),
        (vec!["project", "list", "--account", "3"], "ID  NAME"),
        (vec!["environment", "list", "--account", "3"], "ID  NAME"),
        (vec!["token", "list", "--all"], "ID"),
        (vec!["dead-letters", "list"], "EVENT"),
        (vec!["events", "list"], "TIME                  ID"),
        (
            vec!["events", "list", "--account", "3", "--type", "dbt."],
            "TIME                  ID",
        ),
        (vec!["config", "check", "--connect"], "PART"),
    ] {
        let text = run(&installation.system, &arguments);
        let (head, table) = match arguments[0] {
            "config" => text.split_once("PART").map(|(_, rest)| ("PART", rest)).unwrap(),
            _ => (text.lines().next().unwrap(), text.as_str()),
        };
        assert!(head.starts_with(title), "{arguments:?}: {text}");
        assert!(table.lines().count() > 1, "{arguments:?}: {text}");
        for line in table.lines() {
            assert!(line.chars().count() <= 100, "{arguments:?}: {line}");
        }
    }
    // What is copied is whole, and what is shortened is whole in JSON.
    let listed = run(&installation.system, &["token", "list", "--all"]);
    for title in ["NAME", "STATE", "LAST USED", "EXPIRES"] {
        assert!(listed.lines().next().unwrap().contains(title), "{title}: {listed}");
    }
    assert!(
        listed.contains(&token.id) && listed.contains('…') && listed.contains("deleted"),
        "{listed}"
    );
    assert_eq!(installation.command(&["account", "show", "3"])["name"], long.as_str());
    let shown = run(&installation.system, &["account", "show", "1"]);
    let time = shown
        .lines()
        .find_map(|line| line.strip_prefix("created_at  "))
        .unwrap();
    assert!(
        time.len() == "2026-11-24T09:00:00Z".len() && time.ends_with('Z'),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_stops_early_causes_no_errors() {
    let system = prepared().await;
    for (arguments, code) in [
        ("account list", 0),
        ("account show 1", 0),
        ("account show 7", 1),
        ("events list", 0),
        ("config check", 0),
        ("config variables", 0),
        ("completions bash", 0),
        ("man", 0),
        ("--help", 0),
    ] {
        // The reader has ended before anything is printed.
        let script = format!("exec 3> >(true); wait $!; \"$0\" {arguments} >&3");
        let mut shell = Command::new("bash");
        let shell = shell.args(["-c", &script, BINARY]).envs(system.environment());
        let output = shell.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let is_quiet = errors.is_empty() || (code == 1 && errors.contains("unknown account"));
        assert!(output.status.code() == Some(code) && is_quiet, "{arguments}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_man_pages_need_no_settings() {
    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY).args(arguments).env_clear().output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&["completions", shell]).contains("rotate"), "{shell}");
    }
    // The words after the name of a command.
    let complete = r#"source <("$0" completions bash); COMP_WORDS=(dbt-api dead-letters ""); COMP_CWORD=2
        _dbt__api dbt-api "" dead-letters; echo "${COMPREPLY[@]}""#;
    let completed = Command::new("bash").args(["-c", complete, BINARY]).output().unwrap();
    let completed = String::from_utf8(completed.stdout).unwrap();
    assert!(completed.contains("list show drop retry"), "{completed}");
    assert!(run(&["man"]).contains(".TH dbt"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    run(&["man", "--folder", pages.to_str().unwrap()]);
    for page in ["dbt-api.1", "dbt-api-token-rotate.1", "dbt-api-environment-restore.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
}
