//! What operators read when they repair, restore and clean up.

use std::process::Command;

use bucket::{Bucket, Settings};
use chrono::TimeDelta;
use clock::Clock;
use schemas::{AccountId, AccountRecorded, Event, EventData, EventId, RecordState};
use serde_json::{Value, json};
use testkit::{Database, Service, System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, newest_manifest, prepared};

/// Runs a command, and returns what it prints for people, with its errors.
fn text(system: &System, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    let output = command.args(arguments).envs(system.environment()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_beside_a_full_bucket_must_be_recovered() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    system.database = Database::create_empty().await;

    let installation = Installation::of(system, "ingest").await;
    let ready = installation.readiness().await;
    let error = ready["parts"]["database"]["error"].as_str().unwrap();
    assert!(
        error.contains("run `dbt-api recover`") && !error.contains("migrate"),
        "{ready}"
    );
    let system = &installation.system;
    let (code, status, errors) = try_command(BINARY, &["status"], system);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        (code, &status["problems"]),
        (Some(1), &json!(["database cannot be used"])),
        "{errors}"
    );
    // The roles cannot be used for the same reason, which is said once.
    let broken = status["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part["is_ok"] == false);
    assert_eq!(broken.count(), 1, "{status}");
    assert_eq!(text(system, &["status"]).matches("run `dbt-api recover`").count(), 1);

    for migrate in [false, true] {
        if migrate {
            run_command(BINARY, &["migrate"], system);
        }
        for command in [
            &["account", "list"][..],
            &["account", "show", "1"],
            &["account", "add", "Another"],
            &["token", "list"],
            &["environment", "list", "--account", "1"],
        ] {
            let (code, output, errors) = try_command(BINARY, command, system);
            assert!(
                code == Some(1) && errors.contains("run `dbt-api recover`"),
                "{command:?}: {output}{errors}"
            );
        }
    }
    let recovered = text(system, &["recover"]);
    assert!(
        recovered.ends_with("Everything in the bucket was restored. Start the services.\n"),
        "{recovered}"
    );
    assert!(
        !recovered.contains('{') && recovered.contains("\nnumbers "),
        "{recovered}"
    );
    assert_eq!(
        run_command(BINARY, &["account", "list"], system)
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_projector_is_named_once_something_waits() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let bucket = Bucket::open(&Settings::Local {
        path: installation.system.storage().to_path_buf(),
    })
    .unwrap();
    let status = || {
        let (code, output, errors) = try_command(BINARY, &["status"], &installation.system);
        let status: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{errors}"));
        (code, status["problems"].clone())
    };
    assert_eq!(status(), (Some(0), json!([])));
    let time = Clock::System.now() - TimeDelta::seconds(40);
    let data = EventData::from(AccountRecorded {
        account_id: AccountId(1),
        name: "Renamed".to_owned(),
        slug: None,
        state: RecordState::Active,
    });
    let event = Event::new(EventId(Clock::System.new_id(time)), time, &data).unwrap();
    bucket.put_event(&event).await.unwrap();
    let never = json!(["no projector has swept yet, and events wait: is one running?"]);
    assert_eq!(status(), (Some(1), never));
    let waits = installation.command(&["events", "list", "--waiting"]);
    assert_eq!(
        (&waits[0]["id"], waits.as_array().unwrap().len()),
        (&json!(event.id), 1),
        "{waits}"
    );

    let token = installation.token("1", "upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let of_uploads = ["events", "list", "--waiting", "--type", "dbt."];
    let waits = installation.command(&of_uploads);
    assert_eq!(waits[0]["files"], json!(["manifest"]), "{waits}");
    let table = text(&installation.system, &of_uploads);
    assert!(table.contains("  dbt.artifacts.uploaded.v1  1    manifest"), "{table}");

    let projector = Service::start(BINARY, "projector", &installation.system).await;
    wait_until("nothing waits", async || {
        let waits = installation.command(&["events", "list", "--waiting"]);
        (waits == json!([]) && status().0 == Some(0)).then_some(())
    })
    .await;
    assert_eq!(projector.stop().await, Some(0));
    let pool = installation.system.database.pool("dbt_api_projector");
    let swept = "UPDATE watermark SET swept_upto = now() - interval '100 seconds'";
    sqlx::query(swept).execute(&pool).await.unwrap();
    assert_eq!(status(), (Some(0), json!([])));
    let event = Event::new(EventId(Clock::System.new_id(time)), time, &data).unwrap();
    bucket.put_event(&event).await.unwrap();
    let (code, problems) = status();
    let problem = problems[0].as_str().unwrap();
    assert!(
        problem.starts_with("no projector has swept for 1") && problem.ends_with(" s: is one running?"),
        "{problem}"
    );
    assert_eq!((code, problems.as_array().unwrap().len()), (Some(1), 1));
    let shown = text(&installation.system, &["status"]);
    assert!(
        shown.contains("Z (1 min ago)\n") || shown.contains(" s ago)\n"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_lists_what_it_would_remove_and_counts_what_stays() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    for run in ["one", "two", "three"] {
        installation.upload_manifest(&token, run, newest_manifest()).await;
    }
    installation.run_with_total(&token, "1", 3).await;
    let prune = ["prune", "--account", "1", "--older-than", "0d"];
    let planned = installation.command(&prune);
    assert_eq!(
        (&planned["runs"], &planned["kept_in_use"]),
        (&json!(2), &json!(1)),
        "{planned}"
    );
    let shown = text(&installation.system, &prune);
    assert!(shown.starts_with("ID  JOB  ENDED "), "{shown}");
    for id in planned["run_ids"].as_array().unwrap() {
        assert!(shown.contains(&format!("\n{id}   ")), "{id}: {shown}");
    }
    assert!(
        shown.contains("the current state of their environment comes from them: 1."),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_shows_both_rows_and_the_columns_that_differ() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    for run in ["one", "two"] {
        installation.upload_manifest(&token, run, newest_manifest()).await;
    }
    installation.run_with_total(&token, "1", 2).await;
    let pool = installation.system.database.pool("dbt_api_projector");
    let change = "UPDATE artifacts SET size = size + 1, tag = repeat('x', 1000) WHERE airflow_run_id = 'two'";
    sqlx::query(change).execute(&pool).await.unwrap();
    let (code, output, errors) = try_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert!(
        code == Some(1) && errors.contains("look for the cause first"),
        "{errors}"
    );
    let found: Value = serde_json::from_str(&output).unwrap();
    let difference = &found["differences"][0];
    assert_eq!(found["differences"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        [
            &difference["table"],
            &difference["only_in_database"],
            &difference["only_in_bucket"],
            &difference["columns"]
        ],
        [&json!("artifacts"), &json!(1), &json!(1), &json!(["size", "tag"])]
    );
    let size = |place: &str| difference[place]["size"].as_i64().unwrap();
    assert_eq!(size("database"), size("bucket") + 1);
    assert_eq!(difference["bucket"]["airflow_run_id"], "two");
    assert_eq!(difference["database"]["tag"].as_str().unwrap().len(), 1000);

    let shown = text(&installation.system, &["rebuild", "--verify"]);
    let example = format!(
        "artifacts, account 1, bucket: {{\"size\":{},\"tag\":null}}",
        size("bucket")
    );
    assert!(
        shown.contains(&example) && shown.contains("ONLY IN DATABASE"),
        "{shown}"
    );
}
