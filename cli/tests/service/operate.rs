//! Tokens for operators, and the pages that only their holders see.

mod actions;
mod browser;
mod pages;

use reqwest::StatusCode;
use sqlx::Executor;
use testkit::{Service, System, run_command, try_command, wait_until};

use crate::installation::{BINARY, Installation, Token, newest_manifest, prepared};
use browser::Browser;

/// Creates a token for operators.
fn operator_token(system: &System, lifetime: &str) -> Token {
    let words = [
        "token",
        "create",
        "--scope",
        "operate",
        "--name",
        "Night shift",
        "--expires-in",
        lifetime,
    ];
    let created = run_command(BINARY, &words, system);
    let text = |field: &str| created[field].as_str().unwrap().to_owned();
    Token {
        id: text("id"),
        key: text("key"),
    }
}

/// Signs in as an operator.
async fn operator(installation: &Installation, token: &Token) -> Browser {
    let browser = Browser::new(&installation.service.url);
    let first = browser.sign_in(&token.key, "/console").await;
    assert_eq!(
        (first.status, first.path.as_str()),
        (StatusCode::OK, "/console/operate")
    );
    browser
}

/// Starts an installation with one dead letter: the artifact that its event names is in another place. Returns what brings it back.
async fn with_dead_letter() -> (Installation, String, impl FnOnce()) {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let lost = installation.upload_manifest(&token, "lost", newest_manifest()).await;
    let sha256 = lost["sha256"].as_str().unwrap();
    let artifact = format!("artifacts/1/sha256/{}/{sha256}.zst", &sha256[..2]);
    let (here, there) = (
        installation.system.storage().join(artifact),
        installation.system.storage().join("lost.zst"),
    );
    std::fs::rename(&here, &there).unwrap();
    let installation = Installation::of(installation.system, "serve").await;
    wait_until("the dead letter exists", async || {
        (installation.count("SELECT count(*) FROM dead_letters").await == 1).then_some(())
    })
    .await;
    let letters = installation.command(&["dead-letters", "list"]);
    let event = letters[0]["event_id"].as_str().unwrap().to_owned();
    (installation, event, move || std::fs::rename(there, here).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_operators_has_an_end_and_nothing_beside_it() {
    let installation = Installation::start().await;
    for (more, reason) in [
        (&["--scope", "operate"][..], "--expires-in"),
        (&["--scope", "operate,read", "--expires-in", "1d"], "cannot be combined"),
        (
            &["--scope", "operate", "--expires-in", "1d", "--account", "1"],
            "leave out --account",
        ),
        (
            &["--scope", "operate", "--expires-in", "1d", "--environment", "dev123"],
            "--environment",
        ),
        (
            &["--scope", "administer", "--account", "1"],
            "expected read, upload or operate",
        ),
        (&["--scope", "read"], "--account is missing"),
    ] {
        let words = [&["token", "create"], more].concat();
        let (code, _, errors) = try_command(BINARY, &words, &installation.system);
        assert!(code != Some(0) && errors.contains(reason), "{more:?}: {errors}");
    }
    assert_eq!(installation.command(&["token", "list"]), serde_json::json!([]));

    let token = operator_token(&installation.system, "30d");
    let listed = installation.command(&["token", "list"]);
    assert_eq!(
        (&listed[0]["scopes"], &listed[0]["account_id"]),
        (&serde_json::json!(["operate"]), &serde_json::json!(null))
    );
    assert_eq!(
        installation.command(&["token", "list", "--account", "1"]),
        serde_json::json!([])
    );
    let rotated = installation.command(&["token", "rotate", &token.id, "--valid-for", "0s"]);
    let new = Token {
        id: rotated["id"].as_str().unwrap().to_owned(),
        key: rotated["key"].as_str().unwrap().to_owned(),
    };
    operator(&installation, &new).await;
    let refused = Browser::new(&installation.service.url)
        .sign_in(&token.key, "/console")
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "the old token has ended");
    installation.command(&["token", "delete", &new.id]);
    let all = installation.command(&["token", "list", "--all"]);
    let of_new = all
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == new.id.as_str());
    assert_eq!(of_new.unwrap()["state"], "deleted", "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_the_session_at_the_next_request() {
    let installation = Installation::start().await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    assert_eq!(browser.open("/console/operate/accounts").await.status, StatusCode::OK);
    // Without PostgreSQL the session goes on, and the page says what is wrong.
    installation.system.database.close().await;
    let status = browser.open("/console/operate").await;
    assert_eq!(status.status, StatusCode::OK);
    assert!(status.text.contains("database cannot be used"), "{}", status.text);
    installation.command(&["token", "delete", &token.id]);
    let ended = browser.open("/console/operate").await;
    assert!(ended.path.starts_with("/console/sign-in"), "{}", ended.path);
    installation.system.database.open().await;
    let again = Browser::new(&installation.service.url)
        .sign_in(&token.key, "/console/operate")
        .await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_see_their_pages_and_they_see_nothing_else() {
    let installation = Installation::start().await;
    let (token, reader) = (
        operator_token(&installation.system, "1d"),
        installation.token("1", "read,upload", &[]),
    );
    installation.upload_manifest(&reader, "run", newest_manifest()).await;
    installation.run_with_total(&reader, "1", 1).await;
    let browser = operator(&installation, &token).await;
    for path in [
        "/console/1",
        "/console/1/environments/1",
        "/console/1/runs",
        "/console/1/runs/1",
    ] {
        assert_eq!(browser.open(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let of_reader = Browser::new(&installation.service.url);
    of_reader.sign_in(&reader.key, "/console/1").await;
    for path in [
        "/console/operate",
        "/console/operate/accounts/1",
        "/console/operate/dead-letters",
    ] {
        let shown = of_reader.open(path).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{path}");
        assert!(shown.text.contains("scope `operate`"), "{}", shown.text);
    }
    let stranger = Browser::new(&installation.service.url)
        .open("/console/operate/storage")
        .await;
    assert_eq!(stranger.path, "/console/sign-in?next=%2Fconsole%2Foperate%2Fstorage");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_pages_reads_no_code_and_writes_nothing() {
    let installation = Installation::start().await;
    let pool = installation.system.database.pool("dbt_api_operator");
    for allowed in [
        "SELECT count(size) FROM artifacts",
        "SELECT cause FROM dead_letters",
        "SELECT id, name, scopes FROM tokens",
    ] {
        pool.execute(allowed)
            .await
            .unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    for refused in [
        "SELECT doc FROM nodes",
        "SELECT text FROM texts",
        "SELECT doc FROM node_results",
        "SELECT doc FROM catalog_nodes",
        "SELECT * FROM manifests",
        "SELECT name FROM artifacts",
        "SELECT filename FROM files",
        "SELECT key_sha256 FROM tokens",
        "SELECT key_sha256 FROM operator_tokens",
        "DELETE FROM dead_letters",
        "DELETE FROM tokens",
        "INSERT INTO ledger (event_id, account_id) VALUES (gen_random_uuid(), 1)",
        "UPDATE accounts SET name = ''",
        "SELECT directory.note_token_use(gen_random_uuid())",
        "CREATE TABLE read_model.more (id bigint)",
    ] {
        let error = pool.execute(refused).await.expect_err(refused).to_string();
        assert!(error.contains("permission denied"), "{refused}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_accepts_uploads_serves_the_pages_for_operators() {
    let mut installation = Installation::of(prepared().await, "ingest").await;
    let token = operator_token(&installation.system, "1d");
    let browser = operator(&installation, &token).await;
    let status = browser.json("/console/operate").await;
    assert_eq!(status["problems"], serde_json::json!([]), "{status}");
    assert_eq!(browser.open("/console/1").await.status, StatusCode::NOT_FOUND);
    let style = browser.open("/console/operate").await;
    let (_, style) = style.text.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = style.split('"').next().unwrap();
    assert_eq!(browser.open(style).await.status, StatusCode::OK);

    // The other process has the same keys, so both accept the session.
    let reads = Service::start(BINARY, "api", &installation.system).await;
    installation.service.url.clone_from(&reads.url);
    let browser = Browser::new(&reads.url);
    let first = browser.sign_in(&token.key, "/console").await;
    assert_eq!(
        (first.status, first.path.as_str()),
        (StatusCode::FORBIDDEN, "/console/operate")
    );
    assert!(first.text.contains("dbt-api ingest"), "{}", first.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_datacoves_verifies_never_opens_the_pages_for_operators() {
    let (installation, datacoves) = crate::verified::start("300", &[]).await;
    let answer = serde_json::json!({ "account_ids": [1], "scopes": ["read", "operate"], "scope": "operate" });
    let token = datacoves.admit("key-of-datacoves", answer);
    let browser = Browser::new(&installation.service.url);
    let shown = browser.sign_in(&token.key, "/console/operate").await;
    assert_eq!(
        (shown.status, shown.path.as_str()),
        (StatusCode::FORBIDDEN, "/console/operate")
    );
    let reads = "/api/v2/accounts/1/runs/";
    assert_eq!(installation.get(&token, reads).await.0, StatusCode::OK);
}
