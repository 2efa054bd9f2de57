//! The directory read from Datacoves' own database.

use std::time::Instant;

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use testkit::{Database, Gate, Passage, Service, System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, Token, newest_manifest};

/// The tables as Datacoves has them, with more columns than the service reads.
pub(crate) const TABLES: &str = "
CREATE TABLE users_account (id serial PRIMARY KEY, name varchar(100) NOT NULL, slug varchar(50) UNIQUE NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deactivated_at timestamptz,
    plan_id integer);
CREATE TABLE projects_project (id serial PRIMARY KEY, account_id integer NOT NULL, name varchar(100) NOT NULL, slug varchar(50) NOT NULL,
    release_branch varchar(130), created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE projects_environment (id bigserial PRIMARY KEY, project_id integer NOT NULL, name varchar(100) NOT NULL,
    slug varchar(50) NOT NULL, type varchar(10) NOT NULL, dbt_home_path varchar(4096),
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
INSERT INTO users_account (id, name, slug) VALUES (7, 'Acme', 'acme'), (8, 'Other', 'other');
INSERT INTO projects_project (id, account_id, name, slug) VALUES (70, 7, 'Shop', 'shop'), (80, 8, 'Shop', 'shop');
INSERT INTO projects_environment (id, project_id, name, slug, type) VALUES (700, 70, 'Dev', 'dev123', 'dev'),
    (701, 70, 'Prod', 'prd123', 'prod'), (702, 70, 'Test', 'tst123', 'test'), (800, 80, 'Dev', 'dev800', 'dev');
";

/// A system whose directory comes from Datacoves' database, and that database.
async fn prepared() -> (System, Database) {
    let theirs = Database::create_empty().await;
    execute(&theirs, TABLES).await;
    let mut system = System::start().await;
    system.variables = vec![("DATACOVES_DB_URL".to_owned(), theirs.url())];
    (system, theirs)
}

pub(crate) async fn execute(theirs: &Database, statements: &'static str) {
    let pool = sqlx::PgPool::connect_with(theirs.options()).await.unwrap();
    sqlx::raw_sql(statements).execute(&pool).await.unwrap();
    pool.close().await;
}

fn environment(system: &System, account: &str, id: i64) -> Option<Value> {
    // At first, the account is unknown.
    let (_, listed, _) = try_command(BINARY, &["environment", "list", "--account", account], system);
    let listed: Value = serde_json::from_str(&listed).ok()?;
    listed.as_array()?.iter().find(|row| row["id"] == id).cloned()
}

/// Waits until this field of environment `id` has this value in the directory.
async fn wait_for(system: &System, id: i64, field: &str, value: &str) -> Value {
    wait_until(&format!("environment {id} has {field}={value}"), async || {
        environment(system, "7", id).filter(|row| row[field] == value)
    })
    .await
}

fn directory_events(system: &System) -> usize {
    let arguments = ["events", "list", "--type", "directory.", "--limit", "1000"];
    run_command(BINARY, &arguments, system).as_array().unwrap().len()
}

async fn upload(installation: &Installation, token: &Token, slug: &str) -> (StatusCode, Value) {
    let form = Form::new()
        .text("environment_slug", slug.to_owned())
        .part("file", Part::bytes(newest_manifest()).file_name("file"));
    installation.upload(token, form).await
}

async fn metric(service: &Service, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("{}/metrics", service.url))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until this process has read Datacoves' database again.
async fn wait_for_sync(service: &Service) {
    const LAST: &str = "dbt_api_datacoves_last_sync_timestamp_seconds ";
    let before = metric(service, LAST).await;
    wait_until("Datacoves' database is read again", async || {
        (metric(service, LAST).await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_follows_additions_changes_and_deletions_in_datacoves() {
    let (system, theirs) = prepared().await;
    let installation = Installation::of(system, "serve").await;
    let system = &installation.system;
    wait_for(system, 700, "slug", "dev123").await;
    assert_eq!(directory_events(system), 8);
    let token = installation.token("7", "read,upload", &[]);
    let (_, listed) = installation
        .get(&token, "/api/v2/accounts/7/environments/?order_by=id")
        .await;
    let types = listed["data"].as_array().unwrap().iter();
    let types: Vec<_> = types.map(|row| row["deployment_type"].as_str()).collect();
    assert_eq!(types, [None, Some("production"), Some("staging")], "{listed}");

    for arguments in [
        vec!["account", "add", "More"],
        vec!["account", "rename", "7", "More"],
        vec!["project", "retire", "--account", "7", "70"],
        vec!["environment", "restore", "--account", "7", "dev123"],
        vec!["project", "add", "--account", "7", "--name", "More", "--slug", "more"],
        vec![
            "environment",
            "add",
            "--account",
            "7",
            "--project",
            "70",
            "--name",
            "More",
            "--slug",
            "more",
        ],
    ] {
        let (code, _, errors) = try_command(BINARY, &arguments, system);
        assert!(
            code == Some(1) && errors.contains("come from Datacoves' database"),
            "{errors}"
        );
    }

    // A new environment accepts uploads at once, within the client's 5 s.
    execute(
        &theirs,
        "INSERT INTO projects_environment (id, project_id, name, slug, type) VALUES (703, 70, 'New', 'new123', 'dev')",
    )
    .await;
    let begun = Instant::now();
    let (status, answer) = upload(&installation, &token, "new123").await;
    assert_eq!(
        (status, &answer["data"]["environment_id"]),
        (StatusCode::CREATED, &703.into()),
        "{answer}"
    );
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert_eq!(directory_events(system), 9);

    // The slug and the name change; the old slug is now unused.
    let before = environment(system, "7", 700).unwrap();
    execute(
        &theirs,
        "UPDATE projects_environment SET slug = 'dev999', name = 'Renamed', type = 'prod' WHERE id = 700",
    )
    .await;
    let (status, answer) = upload(&installation, &token, "dev999").await;
    assert_eq!(
        (status, &answer["data"]["environment_id"]),
        (StatusCode::CREATED, &700.into()),
        "{answer}"
    );
    let (status, answer) = upload(&installation, &token, "dev123").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["errors"]["environment_slug"].is_array(), "{answer}");
    let after = environment(system, "7", 700).unwrap();
    assert_eq!(
        (&after["name"], &after["environment_type"]),
        (&"Renamed".into(), &"production".into())
    );
    assert_eq!(before["created_at"], after["created_at"]);

    // A deleted environment becomes inactive and keeps its uploads; it can come back.
    assert_eq!(upload(&installation, &token, "tst123").await.0, StatusCode::CREATED);
    execute(&theirs, "DELETE FROM projects_environment WHERE id = 702").await;
    wait_for(system, 702, "state", "inactive").await;
    wait_until("the upload is refused", async || {
        (upload(&installation, &token, "tst123").await.0 == StatusCode::UNPROCESSABLE_ENTITY).then_some(())
    })
    .await;
    let (_, shown) = installation.get(&token, "/api/v2/accounts/7/environments/702/").await;
    assert_eq!(shown["data"]["state"], 2, "{shown}");
    execute(&theirs, "INSERT INTO projects_environment (id, project_id, name, slug, type) VALUES (702, 70, 'Test', 'tst123', 'test')").await;
    assert_eq!(upload(&installation, &token, "tst123").await.0, StatusCode::CREATED);
    assert_eq!(environment(system, "7", 702).unwrap()["state"], "active");

    let events = directory_events(system);
    wait_for_sync(&installation.service).await;
    assert_eq!(directory_events(system), events, "an unchanged row makes no event");
    // An answer without any accounts does not stop uploads.
    execute(&theirs, "TRUNCATE users_account").await;
    wait_until("the empty answer is rejected", async || {
        let ready = installation.readiness().await;
        let error = ready["parts"]["datacoves"]["error"].as_str()?;
        error.contains("DATACOVES_ACCOUNTS_QUERY").then_some(())
    })
    .await;
    assert_eq!(upload(&installation, &token, "tst123").await.0, StatusCode::CREATED);
    assert_eq!(directory_events(system), events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_a_deactivated_account_are_refused() {
    let (system, theirs) = prepared().await;
    let installation = Installation::of(system, "serve").await;
    wait_for(&installation.system, 700, "slug", "dev123").await;
    let token = installation.token("7", "read,upload", &[]);
    let other = installation.token("8", "read,upload", &[]);
    let environments = "/api/v2/accounts/7/environments/";
    assert_eq!(installation.get(&token, environments).await.0, StatusCode::OK);
    assert_eq!(upload(&installation, &token, "dev123").await.0, StatusCode::CREATED);

    execute(&theirs, "UPDATE users_account SET deactivated_at = now() WHERE id = 7").await;
    wait_for(&installation.system, 700, "state", "inactive").await;
    let project = installation.command(&["project", "show", "--account", "7", "shop"]);
    assert_eq!(project["state"], "inactive");
    assert_eq!(installation.get(&token, environments).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        upload(&installation, &token, "dev123").await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(upload(&installation, &other, "dev800").await.0, StatusCode::CREATED);

    // The journal has the change, too.
    let Installation {
        system,
        service,
        client,
    } = installation;
    service.stop().await;
    system.database.close().await;
    let ingest = Service::start(BINARY, "ingest", &system).await;
    let installation = Installation {
        system,
        service: ingest,
        client,
    };
    assert_eq!(
        upload(&installation, &token, "dev123").await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(upload(&installation, &other, "dev800").await.0, StatusCode::CREATED);
    installation.system.database.open().await;

    execute(&theirs, "UPDATE users_account SET deactivated_at = NULL WHERE id = 7").await;
    wait_for(&installation.system, 700, "state", "active").await;
    wait_until("the token is accepted again", async || {
        (upload(&installation, &token, "dev123").await.0 == StatusCode::CREATED).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_rows_are_skipped_and_queries_can_be_replaced() {
    let (mut system, theirs) = prepared().await;
    execute(
        &theirs,
        "CREATE TABLE other_environments (number text, project bigint, title text, code text, usage text);
         INSERT INTO other_environments VALUES ('1', 70, 'One', 'one', 'prod'), ('2', 70, 'Twice', 'one', 'prod'),
            ('3', 70, 'Digits', '123', 'dev'), ('4', 99, 'Nowhere', 'four', 'dev'), ('5', 70, NULL, 'five', NULL),
            (NULL, 70, 'Nobody', 'six', 'dev'), ('7', 80, 'Other account', 'one', 'dev');
         INSERT INTO users_account (id, name, slug) VALUES (9, 'Bad', 'Not A Slug');",
    )
    .await;
    let query = "SELECT number AS id, project AS project_id, title AS name, code AS slug, usage AS type\n FROM other_environments -- all;";
    system
        .variables
        .push(("DATACOVES_ENVIRONMENTS_QUERY".to_owned(), query.to_owned()));
    let installation = Installation::of(system, "serve").await;
    wait_for(&installation.system, 1, "environment_type", "production").await;
    let listed = installation.command(&["environment", "list", "--account", "7"]);
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["One", "five"]);
    let listed = installation.command(&["environment", "list", "--account", "8"]);
    assert_eq!(listed[0]["slug"], "one");
    let account = installation.command(&["account", "show", "9"]);
    assert_eq!((&account["name"], &account["slug"]), (&"Bad".into(), &Value::Null));
    wait_for_sync(&installation.service).await;
    let log = installation.service.log();
    for problem in [
        "environment 2: the slug `one` is taken",
        "environment 3: invalid slug",
        "environment 4: its project 99 does not exist",
        "environment without a number",
        "account 9: invalid slug",
    ] {
        let logged = log.iter().filter(|line| line.contains(problem)).count();
        assert_eq!(logged, 1, "{problem}: {log:#?}");
    }
    assert_eq!(
        metric(&installation.service, "dbt_api_datacoves_problems ").await,
        Some(5.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_known_directory_is_used_while_datacoves_database_is_down() {
    let (mut system, theirs) = prepared().await;
    let gate = Gate::before(theirs.address()).await;
    gate.set(Passage::Closed);
    system.variables = vec![("DATACOVES_DB_URL".to_owned(), theirs.url_through(&gate.address))];
    let installation = Installation::of(system, "serve").await;
    wait_until("readiness reports Datacoves as unavailable", async || {
        let ready = installation.readiness().await;
        let part = &ready["parts"]["datacoves"];
        (ready["status"] == "degraded"
            && part["status"] == "down"
            && part["required"] == false
            && part["error"].as_str()?.contains("Datacoves' database"))
        .then_some(())
    })
    .await;
    gate.set(Passage::Open);
    wait_for(&installation.system, 700, "slug", "dev123").await;
    let token = installation.token("7", "read,upload", &[]);
    assert_eq!(upload(&installation, &token, "dev123").await.0, StatusCode::CREATED);

    execute(&theirs, "DELETE FROM projects_environment WHERE id = 700").await;
    gate.set(Passage::Silent);
    let failures = "dbt_api_datacoves_failures_total ";
    let before = metric(&installation.service, failures).await;
    wait_until("reading fails twice", async || {
        let failed = metric(&installation.service, failures).await.unwrap_or_default();
        (failed >= before.unwrap_or_default() + 2.0).then_some(())
    })
    .await;
    let begun = Instant::now();
    assert_eq!(
        upload(&installation, &token, "nobody").await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    installation.system.database.close().await;
    assert_eq!(upload(&installation, &token, "dev123").await.0, StatusCode::CREATED);
    installation.system.database.open().await;
    let log = installation.service.log();
    let warnings = log
        .iter()
        .filter(|line| line.contains("environments from Datacoves' database"))
        .count();
    // First the connection is refused, then it times out: two causes, each logged once.
    assert!(warnings <= 2, "{log:#?}");
    gate.set(Passage::Open);
    wait_for(&installation.system, 700, "state", "inactive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_make_duplicate_events() {
    let (system, theirs) = prepared().await;
    let first = Service::start(BINARY, "serve", &system);
    let second = Service::start(BINARY, "ingest", &system);
    let (first, second) = tokio::join!(first, second);
    wait_for(&system, 700, "slug", "dev123").await;
    let mut installation = Installation {
        service: first,
        system,
        client: reqwest::Client::new(),
    };
    let token = installation.token("7", "read,upload", &[]);
    execute(
        &theirs,
        "INSERT INTO projects_environment (id, project_id, name, slug, type)
         SELECT 1000 + n, 70, 'Many', 'many-' || n, 'dev' FROM generate_series(1, 20) AS n",
    )
    .await;
    let urls = [installation.service.url.clone(), second.url.clone()];
    let mut uploads = Vec::new();
    for number in 1..=20 {
        let request = installation
            .client
            .post(format!("{}/api/internal/manifests", urls[number % 2]));
        let form = Form::new()
            .text("environment_slug", format!("many-{number}"))
            .part("file", Part::bytes(newest_manifest()).file_name("file"));
        uploads.push(tokio::spawn(request.bearer_auth(&token.key).multipart(form).send()));
    }
    for upload in uploads {
        assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::CREATED);
    }
    wait_for_sync(&installation.service).await;
    wait_for_sync(&second).await;
    installation.service = second;
    assert_eq!(upload(&installation, &token, "many-7").await.0, StatusCode::CREATED);
    // Two accounts, two projects, four and twenty environments.
    assert_eq!(directory_events(&installation.system), 28);
}
