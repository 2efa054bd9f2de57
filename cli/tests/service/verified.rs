//! Tokens that Datacoves issued.

mod server;

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::{System, wait_until};

use crate::connect::{attempt, names_all};
use crate::installation::{Installation, SLUG, Token, newest_manifest, prepare};
use crate::isolation::{fill_tables, is_empty};
use server::{Datacoves, Mood};

pub(crate) async fn start(cache_seconds: &str, more: &[(&str, &str)]) -> (Installation, Datacoves) {
    let datacoves = Datacoves::start().await;
    let mut system = System::start().await;
    let url = datacoves.url();
    system.variables = vec![
        ("DATACOVES_VERIFY_URL".to_owned(), url),
        ("DATACOVES_VERIFY_CACHE_SECONDS".to_owned(), cache_seconds.to_owned()),
    ];
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    system.variables.extend(more);
    (Installation::of(prepare(system), "serve").await, datacoves)
}

fn unknown(key: &str) -> Token {
    Token {
        id: String::new(),
        key: key.to_owned(),
    }
}

/// Uploads a manifest, and returns the status and body of the answer.
async fn upload(installation: &Installation, token: &Token, slug: Option<&str>) -> (StatusCode, Value) {
    let mut form = Form::new();
    if let Some(slug) = slug {
        form = form.text("environment_slug", slug.to_owned());
    }
    let form = form.part("file", Part::bytes(newest_manifest()).file_name("file"));
    installation.upload(token, form).await
}

async fn status(installation: &Installation, token: &Token, path: &str) -> StatusCode {
    installation.get(token, path).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn datacoves_is_asked_once_per_cache_period_and_never_about_own_keys() {
    let (installation, datacoves) = start("300", &[]).await;
    let answer =
        json!({ "account_ids": [1], "projects": ["shop"], "environments": [{ "slug": SLUG }], "email": "a@b.example" });
    let token = datacoves.admit("key-of-datacoves", answer);
    let uploads = (0..5).map(|_| upload(&installation, &token, None));
    for (code, answer) in futures_util::future::join_all(uploads).await {
        assert_eq!(code, StatusCode::CREATED, "{answer}");
        assert_eq!(answer["data"]["environment_id"], 1);
    }
    assert_eq!(
        status(&installation, &token, "/api/v2/accounts/1/runs/").await,
        StatusCode::OK
    );
    assert_eq!(datacoves.asked(), ["Token key-of-datacoves"]);

    let own = installation.token("1", "read,upload", &[]);
    assert_eq!(upload(&installation, &own, Some(SLUG)).await.0, StatusCode::CREATED);
    assert_eq!(
        status(&installation, &own, "/api/v2/accounts/1/runs/").await,
        StatusCode::OK
    );
    let made_up = unknown("dbtapi_0123456789");
    assert_eq!(
        upload(&installation, &made_up, Some(SLUG)).await.0,
        StatusCode::UNAUTHORIZED
    );
    installation.command(&["token", "delete", &own.id]);
    assert_eq!(
        upload(&installation, &own, Some(SLUG)).await.0,
        StatusCode::UNAUTHORIZED
    );
    let refused = unknown("nobody-knows-this");
    for _ in 0..3 {
        assert_eq!(
            upload(&installation, &refused, Some(SLUG)).await.0,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            status(&installation, &refused, "/api/v2/accounts/1/runs/").await,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(datacoves.asked(), ["Token key-of-datacoves", "Token nobody-knows-this"]);
    let none = datacoves.admit("of-no-account", json!({ "account_ids": [] }));
    assert_eq!(
        status(&installation, &none, "/api/v2/accounts/1/runs/").await,
        StatusCode::UNAUTHORIZED
    );

    // The key is not stored; its id is always the same.
    let events = installation.command(&["events", "list", "--type", "dbt."]);
    let first = events[0]["id"]
        .as_str()
        .or(events[0]["event_id"].as_str())
        .unwrap()
        .to_owned();
    let shown = installation.command(&["events", "show", &first]);
    let uploader = shown["data"]["uploader"].as_str().unwrap();
    assert!(
        uploader.parse::<uuid::Uuid>().is_ok_and(|id| id.get_version_num() == 8),
        "{shown}"
    );
    assert!(!installation.service.log().join("\n").contains(&token.key));
    let folder = installation.system.storage().to_string_lossy().into_owned();
    let found = std::process::Command::new("grep")
        .args(["-rl", &token.key, &folder])
        .output()
        .unwrap();
    assert!(found.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_key_sees_only_what_it_lists() {
    let (installation, datacoves) = start("300", &[]).await;
    let more = [
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "1",
        "--name",
        "More",
        "--slug",
        "more",
    ];
    assert_eq!(installation.command(&more)["id"], 3);
    let more = ["project", "add", "--account", "1", "--name", "Lab", "--slug", "lab"];
    assert_eq!(installation.command(&more)["id"], 3);
    let more = [
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "3",
        "--name",
        "Lab",
        "--slug",
        "lab",
    ];
    assert_eq!(installation.command(&more)["id"], 4);
    let own = installation.token("1", "read,upload", &[]);
    for slug in [SLUG, "more", "lab"] {
        assert_eq!(upload(&installation, &own, Some(slug)).await.0, StatusCode::CREATED);
    }
    installation.run_with_total(&own, "1", 3).await;

    let environments = async |token: &Token| -> Vec<i64> {
        let (code, listed) = installation
            .get(token, "/api/v2/accounts/1/environments/?order_by=id")
            .await;
        assert_eq!(code, StatusCode::OK, "{listed}");
        listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect()
    };
    let two = datacoves.admit("two", json!({ "account_ids": [1], "environments": [SLUG, 3] }));
    assert_eq!(environments(&two).await, [1, 3]);
    let (_, runs) = installation.get(&two, "/api/v2/accounts/1/runs/").await;
    assert_eq!(runs["extra"]["pagination"]["total_count"], 2, "{runs}");
    let hidden = installation
        .get(&own, "/api/v2/accounts/1/runs/?environment_id=4")
        .await
        .1["data"][0]["id"]
        .clone();
    assert_eq!(
        status(&installation, &two, &format!("/api/v2/accounts/1/runs/{hidden}/")).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        status(&installation, &own, &format!("/api/v2/accounts/1/runs/{hidden}/")).await,
        StatusCode::OK
    );
    assert_eq!(
        status(&installation, &two, "/api/v2/accounts/1/environments/4/nodes/").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        status(&installation, &two, "/api/v2/accounts/2/runs/").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(upload(&installation, &two, Some("more")).await.0, StatusCode::CREATED);
    assert_eq!(upload(&installation, &two, Some("lab")).await.0, StatusCode::FORBIDDEN);
    let (code, answer) = upload(&installation, &two, None).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["errors"]["environment_slug"].is_array(), "{answer}");
    let manifest = |slug: &str| format!("/api/internal/manifests?environment_slug={slug}");
    assert_eq!(status(&installation, &two, &manifest("more")).await, StatusCode::OK);
    assert_eq!(
        status(&installation, &two, &manifest("lab")).await,
        StatusCode::NOT_FOUND
    );

    let project = datacoves.admit(
        "project",
        json!({ "account_ids": [1], "projects": ["lab"], "environments": [] }),
    );
    assert_eq!(environments(&project).await, [4]);
    assert_eq!(
        upload(&installation, &project, Some("lab")).await.0,
        StatusCode::CREATED
    );
    assert_eq!(
        upload(&installation, &project, Some(SLUG)).await.0,
        StatusCode::FORBIDDEN
    );
    let nothing = datacoves.admit(
        "nothing",
        json!({ "account_ids": [1], "projects": [], "environments": [] }),
    );
    assert_eq!(environments(&nothing).await, [0_i64; 0]);
    assert_eq!(
        upload(&installation, &nothing, Some(SLUG)).await.0,
        StatusCode::FORBIDDEN
    );
    let by_number = datacoves.admit("number", json!({ "account_ids": [2], "environments": [1] }));
    assert_eq!(
        upload(&installation, &by_number, None).await.0,
        StatusCode::FORBIDDEN,
        "another account's"
    );

    // If the key has several accounts, the path or the slug selects one.
    let both = datacoves.admit("both", json!({ "account_ids": [1, 2, 99] }));
    let (_, accounts) = installation.get(&both, "/api/v2/accounts/").await;
    let ids: Vec<_> = accounts["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64())
        .collect();
    assert_eq!(ids, [Some(1), Some(2)]);
    assert_eq!(
        status(&installation, &both, "/api/v3/accounts/99").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(environments(&both).await, [1, 3, 4]);
    let (_, other) = installation.get(&both, "/api/v2/accounts/2/environments/").await;
    assert_eq!(other["data"][0]["id"], 2);
    let (code, answer) = upload(&installation, &both, Some("lab")).await;
    assert_eq!(
        (code, &answer["data"]["environment_id"]),
        (StatusCode::CREATED, &4.into())
    );
    let (code, answer) = upload(&installation, &both, Some(SLUG)).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer["errors"]["environment_slug"][0]
            .as_str()
            .unwrap()
            .contains("several"),
        "{answer}"
    );
    let url = format!("{}/api/internal/environments/{SLUG}/files", installation.service.url);
    let form = Form::new()
        .text("tag", "x")
        .part("file", Part::text("x").file_name("x.txt"));
    let request = installation.client.post(url).bearer_auth(&both.key).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status(&installation, &both, &manifest("more")).await, StatusCode::OK);
    let (code, answer) = installation.get(&both, &manifest(SLUG)).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["errors"]["environment_slug"].is_array(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_datacoves_is_silent_uploads_continue_and_refusals_remain() {
    let (installation, datacoves) = start("1", &[]).await;
    let runs = "/api/v2/accounts/1/runs/";
    let token = datacoves.admit("good", json!({ "account_ids": [1] }));
    let withdrawn = datacoves.admit("withdrawn", json!({ "account_ids": [1] }));
    let refused = unknown("refused");
    for key in [&token, &withdrawn] {
        assert_eq!(upload(&installation, key, Some(SLUG)).await.0, StatusCode::CREATED);
    }
    assert_eq!(
        upload(&installation, &refused, Some(SLUG)).await.0,
        StatusCode::UNAUTHORIZED
    );
    datacoves.withdraw("withdrawn");
    wait_until("the key is withdrawn", async || {
        (upload(&installation, &withdrawn, Some(SLUG)).await.0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;

    for mood in [Mood::Fails, Mood::Redirects] {
        datacoves.set(mood);
        wait_until("reads are refused", async || {
            (status(&installation, &token, runs).await == StatusCode::SERVICE_UNAVAILABLE).then_some(())
        })
        .await;
        assert_eq!(upload(&installation, &token, Some(SLUG)).await.0, StatusCode::CREATED);
        for key in [&refused, &withdrawn] {
            assert_eq!(upload(&installation, key, Some(SLUG)).await.0, StatusCode::UNAUTHORIZED);
            assert_eq!(status(&installation, key, runs).await, StatusCode::UNAUTHORIZED);
        }
        let stranger = unknown("never-seen");
        let (code, answer) = upload(&installation, &stranger, Some(SLUG)).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        let message = answer["errors"]["message"].as_str().unwrap();
        assert!(message.starts_with("Datacoves, which issued this token"), "{message}");
        let ready = installation.readiness().await;
        assert_eq!(ready["parts"]["verifier"]["status"], "down", "{ready}");
        assert_eq!(ready["status"], "degraded");
    }
    assert_eq!(datacoves.followed(), 0, "a redirect was followed");
    let count = |text: &str| {
        installation
            .service
            .log()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    };
    assert_eq!(count("Datacoves does not verify keys; uploads continue"), 1);

    datacoves.set(Mood::Answers);
    assert_eq!(status(&installation, &token, runs).await, StatusCode::OK);
    assert_eq!(count("Datacoves verifies keys again"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_keys_have_rate_limits_and_end_with_their_account() {
    let (installation, datacoves) = start("300", &[("UPLOADS_PER_MINUTE", "2"), ("READS_PER_MINUTE", "3")]).await;
    let busy = datacoves.admit("busy", json!({ "account_ids": [1] }));
    let other = datacoves.admit("other", json!({ "account_ids": [2] }));
    for _ in 0..2 {
        assert_eq!(upload(&installation, &busy, Some(SLUG)).await.0, StatusCode::CREATED);
    }
    assert_eq!(
        upload(&installation, &busy, Some(SLUG)).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(upload(&installation, &other, Some(SLUG)).await.0, StatusCode::CREATED);
    let runs = "/api/v2/accounts/2/runs/";
    assert_eq!(status(&installation, &other, runs).await, StatusCode::OK);
    let pool = installation.system.database.pool("dbt_api_projector");
    sqlx::query("UPDATE accounts SET state = 'inactive' WHERE id = 2")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(status(&installation, &other, runs).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        status(&installation, &other, "/api/v2/accounts/").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(status(&installation, &other, runs).await, StatusCode::TOO_MANY_REQUESTS);
}

/// Checks every table that has environments.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_holds_a_list_of_environments() {
    let installation = Installation::start().await;
    let own = installation.token("1", "read,upload", &[]);
    fill_tables(&installation, &own).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'environment_id' AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('read_model', 'ids') AND has_table_privilege('dbt_api_reader', c.oid, 'SELECT')
         UNION ALL SELECT 'directory.environments' UNION ALL SELECT 'directory.projects' ORDER BY 1",
    )
    .fetch_all(&installation.system.database.pool("dbt_api_projector"))
    .await
    .unwrap();
    assert!(tables.len() >= 11, "{tables:?}");
    let pool = installation.system.database.pool("dbt_api_reader");
    let mut connection = pool.acquire().await.unwrap();
    let set = async |connection: &mut sqlx::PgConnection, name: &str, value: &str| {
        let query = sqlx::query("SELECT set_config($1, $2, false)").bind(name.to_owned());
        query.bind(value.to_owned()).execute(connection).await.unwrap();
    };
    set(&mut connection, "app.account_id", "1").await;
    let mut empty = Vec::new();
    for table in &tables {
        let count = format!("SELECT count(*) FROM {table}");
        let mut seen = Vec::new();
        for (name, value) in [
            ("app.environment_ids", ""),
            ("app.environment_ids", "{1}"),
            ("app.environment_ids", "{7,1}"),
            ("app.environment_ids", "{2}"),
            ("app.environment_ids", "{}"),
            ("app.environment_id", "1"),
            ("app.environment_id", "2"),
        ] {
            for each in ["app.environment_ids", "app.environment_id"] {
                set(&mut connection, each, if each == name { value } else { "" }).await;
            }
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count.clone()))
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            seen.push(rows);
        }
        let all = seen[0];
        if all == 0 && !is_empty(table) {
            empty.push(table.as_str());
        }
        assert_eq!(seen, [all, all, all, 0, 0, all, 0], "{table}");
    }
    assert!(empty.is_empty(), "`fill_tables` must write a row to {empty:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_server_that_verifies_keys_is_named() {
    let datacoves = Datacoves::start().await;
    let mut system = prepare(System::start().await);
    let url = datacoves.url();
    let mut verifier = |url: &str| attempt(&mut system, "verifier", &[("DATACOVES_VERIFY_URL", url)]);
    assert_eq!(verifier(&url), (true, "ok".to_owned()));
    let named = "DATACOVES_VERIFY_URL";
    datacoves.set(Mood::Fails);
    names_all(
        &verifier(&url),
        &[named, "expected 200, 401 or 403, got `502 Bad Gateway`"],
    );
    datacoves.set(Mood::Redirects);
    names_all(&verifier(&url), &[named, "expected 200, 401 or 403, got `307"]);
    datacoves.set(Mood::AdmitsAll);
    names_all(&verifier(&url), &[named, "admits a key that nobody has issued"]);
    names_all(&verifier("http://127.0.0.1:1/verify"), &[named, "refused"]);
}
