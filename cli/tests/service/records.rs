//! Tests of accounts, projects and environments, as operators change them.

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::{Database, Service, run_command, try_command};

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest, prepared};

/// Replaces the process by a new one, which has no copy of the directory yet.
async fn restart(installation: &mut Installation, role: &str) {
    installation.service = Service::start(BINARY, role, &installation.system).await;
}

async fn upload(installation: &Installation, token: &Token) -> StatusCode {
    let form = Form::new()
        .text("environment_slug", SLUG)
        .text("run_id", "run")
        .part("file", Part::bytes(newest_manifest()).file_name("file"));
    installation.upload(token, form).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retired_takes_no_uploads_and_can_still_be_read() {
    let mut installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    assert_eq!(upload(&installation, &token).await, StatusCode::CREATED);
    installation.run_with_total(&token, "1", 1).await;
    let files = format!("/api/v3/accounts/1/projects/1/environments/{SLUG}/");
    for (kind, name) in [("environment", SLUG), ("project", "shop"), ("project", "1")] {
        let retired = installation.command(&[kind, "retire", "--account", "1", name]);
        assert_eq!((&retired["state"], &retired["id"]), (&json!("inactive"), &json!(1)));
        restart(&mut installation, "serve").await;
        assert_eq!(upload(&installation, &token).await, StatusCode::UNPROCESSABLE_ENTITY);
        installation.run_with_total(&token, "1", 1).await;
        assert_eq!(installation.get(&token, &files).await.0, StatusCode::OK);
        // A process without PostgreSQL reads the same from the bucket.
        installation.system.database.close().await;
        restart(&mut installation, "ingest").await;
        assert_eq!(upload(&installation, &token).await, StatusCode::UNPROCESSABLE_ENTITY);
        installation.system.database.open().await;

        let restored = installation.command(&[kind, "restore", "--account", "1", name]);
        assert_eq!(restored["state"], "active");
        restart(&mut installation, "serve").await;
        assert_eq!(upload(&installation, &token).await, StatusCode::CREATED);
    }

    // The tokens of a retired account are refused at their next request.
    let other = installation.token("2", "read,upload", &[]);
    installation.command(&["account", "retire", "1"]);
    let runs = "/api/v2/accounts/1/runs/";
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(upload(&installation, &token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(upload(&installation, &other).await, StatusCode::CREATED);
    let listed = installation.command(&["token", "list", "--account", "1"]);
    assert_eq!(listed[0]["state"], "inactive");
    installation.command(&["account", "restore", "1"]);
    assert_eq!(upload(&installation, &token).await, StatusCode::CREATED);
    assert_eq!(installation.get(&token, runs).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_changes_nothing_else_and_is_recovered() {
    let mut system = prepared().await;
    let show = |system: &testkit::System| -> Vec<Value> {
        let of = ["--account", "1"];
        vec![
            run_command(BINARY, &["account", "show", "1"], system),
            run_command(BINARY, &[&["project", "show", "shop"], &of[..]].concat(), system),
            run_command(BINARY, &[&["environment", "show", SLUG], &of[..]].concat(), system),
        ]
    };
    let before = show(&system);
    run_command(BINARY, &["account", "rename", "1", "Example"], &system);
    run_command(
        BINARY,
        &["project", "rename", "--account", "1", "shop", "The shop"],
        &system,
    );
    run_command(
        BINARY,
        &["environment", "rename", "--account", "1", "1", "Development"],
        &system,
    );
    let after = show(&system);
    for ((before, after), name) in before.iter().zip(&after).zip(["Example", "The shop", "Development"]) {
        assert_eq!(after["name"], name);
        for (field, value) in before.as_object().unwrap() {
            if !["name", "updated_at"].contains(&field.as_str()) {
                assert_eq!(&after[field], value, "{field}: {after}");
            }
        }
    }
    for (arguments, message) in [
        (vec!["account", "rename", "7", "x"], "`dbt-api account list`"),
        (
            vec!["project", "retire", "--account", "1", "nope"],
            "`dbt-api project list --account 1`",
        ),
        (
            vec!["environment", "restore", "--account", "1", "2"],
            "`dbt-api environment list --account 1`",
        ),
        (
            vec!["environment", "restore", "--account", "7", SLUG],
            "`dbt-api account list`",
        ),
    ] {
        let (code, _, errors) = try_command(BINARY, &arguments, &system);
        assert!(code == Some(1) && errors.contains(message), "{arguments:?}: {errors}");
    }

    system.database = Database::create_empty().await;
    run_command(BINARY, &["recover"], &system);
    assert_eq!(show(&system), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_given_once_and_a_name_only_twice_if_that_is_wanted() {
    let system = prepared().await;
    let fails = |line: &str, message: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (code, _, errors) = try_command(BINARY, &arguments, &system);
        assert!(code != Some(0) && errors.contains(message), "{line}: {errors}");
    };
    let add = |line: &str| run_command(BINARY, &line.split(' ').collect::<Vec<_>>(), &system)["id"].as_i64();
    assert_eq!(add("account add Imported --id 57"), Some(57));
    assert_eq!(add("account add Next"), Some(58));
    assert_eq!(
        add("project add --account 57 --name Shop --slug shop --id 40"),
        Some(40)
    );
    let environment = "environment add --account 57 --project 40 --name Prod --slug";
    assert_eq!(add(&format!("{environment} prod --id 30")), Some(30));
    assert_eq!(add(&format!("{environment} prod2 --allow-same-name")), Some(31));

    fails("account add Other --id 57", "the number 57 is taken by another account");
    for (to_add, highest) in [
        ("account add Other", 58),
        ("project add --account 57 --name Lab --slug lab", 40),
        ("environment add --account 57 --project 40 --name Lab --slug lab", 31),
    ] {
        let (most, more) = (highest + 1_000_000, highest + 1_000_001);
        let refused = format!("the number {more} is far above the highest so far, {highest}: choose one up to {most}");
        fails(&format!("{to_add} --id {more}"), &refused);
    }
    fails(
        "project add --account 57 --name Lab --slug lab --id 1",
        "the number 1 is taken by a project of account 1",
    );
    fails(
        "environment add --account 57 --project 40 --name Lab --slug lab --id 1",
        "the number 1 is taken by an environment of account 1",
    );
    // Somebody claimed this number and did not come any further.
    let claims = system.storage().join("ids/accounts");
    std::fs::write(claims.join("60.json"), r#"{"name":"Lost","slug":null}"#).unwrap();
    fails(
        "account add Other --id 60",
        r#"the number 60 was used before, for {"name":"Lost","slug":null}"#,
    );
    for id in ["0", "-1", "9007199254740992"] {
        fails(&format!("account add Other --id={id}"), "1..=9007199254740991");
    }

    fails("account add Imported", "the name `Imported` is taken by number 57");
    assert_eq!(add("account add Imported --allow-same-name"), Some(59));
    fails("account rename 58 Imported", "--allow-same-name");
    assert_eq!(add("account rename 58 Imported --allow-same-name"), Some(58));
    // The own name is not another one.
    assert_eq!(add("account rename 58 Imported --allow-same-name"), Some(58));
    fails(
        "project add --account 1 --name Shop --slug lab",
        "the name `Shop` is taken by number 1",
    );
    fails(&format!("{environment} prod3"), "the name `Prod` is taken by number 30");
    // The lost number is left out.
    assert_eq!(add("account add Last"), Some(61));
}
