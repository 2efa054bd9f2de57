//! Reads from servers beside the primary, and a database with several servers.
//!
//! A copy of the database on the same server plays a standby that stopped replaying: it has the data of the moment at which it was made. What
//! only a real standby does is in `tests/production`.

use bucket::{Bucket, Settings};
use reqwest::StatusCode;
use schemas::TokenId;
use testkit::{Database, Gate, Passage, Pooler, System, wait_until};

use crate::installation::{Installation, SLUG, Token, newest_manifest, prepared};

const RUNS: &str = "/api/v2/accounts/1/runs/";

/// An installation with an upload, whose read side reads a copy that was made after the upload.
struct Stale {
    installation: Installation,
    /// In front of the primary.
    gate: Gate,
    reader: Token,
    uploader: Token,
    #[expect(dead_code, reason = "the copy is dropped with it")]
    copy: Database,
}

impl Stale {
    async fn start() -> Self {
        let installation = Installation::of(prepared().await, "serve").await;
        let (reader, uploader) = (
            installation.token("1", "read", &[]),
            installation.token("1", "read,upload", &[]),
        );
        installation
            .upload_manifest(&uploader, "copied", newest_manifest())
            .await;
        installation.run_with_total(&uploader, "1", 1).await;
        assert_eq!(installation.service.stop().await, Some(0));
        let mut system = installation.system;
        let copy = system.database.copy().await;
        let gate = Gate::before(system.database.address()).await;
        let url = system.database.url_through(&gate.address);
        system.variables.push(("DB_URL".to_owned(), url));
        system.variables.push(("DB_READ_URL".to_owned(), copy.url()));
        let installation = Installation::of(system, "serve").await;
        let stale = Self {
            installation,
            gate,
            reader,
            uploader,
            copy,
        };
        stale.wait_until_replica_is("ok").await;
        stale
    }

    async fn wait_until_replica_is(&self, status: &str) {
        wait_until("the readiness shows the replica", async || {
            let ready = self.installation.readiness().await;
            (ready["parts"]["replica"]["status"] == status).then_some(())
        })
        .await;
    }

    /// The number of runs that a token sees.
    async fn runs(&self, token: &Token) -> i64 {
        let (status, answer) = self.installation.get(token, RUNS).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["extra"]["pagination"]["total_count"].as_i64().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_only_read_read_beside_the_primary() {
    let stale = Stale::start().await;
    let installation = &stale.installation;
    installation
        .upload_manifest(&stale.uploader, "later", newest_manifest())
        .await;
    // A client that uploads reads what it has written.
    installation.run_with_total(&stale.uploader, "1", 2).await;
    assert_eq!(stale.runs(&stale.reader).await, 1);
    let graphql = format!("{}/graphql", installation.service.url);
    let query = serde_json::json!({ "query": "{ environment(id: 1) { applied { lastUpdatedAt } } }" });
    let answer = installation
        .client
        .post(graphql)
        .bearer_auth(&stale.reader.key)
        .json(&query);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::OK);

    // The primary decides about keys: a new one is not known beside it, so the primary is read, and a deleted one is refused at once.
    let new = installation.token("1", "read", &[]);
    assert_eq!(stale.runs(&new).await, 2);
    installation.command(&["token", "delete", &stale.reader.id]);
    let (status, _) = installation.get(&stale.reader, RUNS).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_primary_says_that_nothing_has_changed() {
    let stale = Stale::start().await;
    let url = format!("{}{RUNS}", stale.installation.service.url);
    let ask = async |tag: Option<&str>| {
        let mut request = stale.installation.client.get(&url).bearer_auth(&stale.reader.key);
        if let Some(tag) = tag {
            request = request.header("If-None-Match", tag);
        }
        let answer = request.send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        (answer.status(), tag)
    };
    let (_, first) = ask(None).await;
    stale
        .installation
        .upload_manifest(&stale.uploader, "later", newest_manifest())
        .await;
    stale.installation.run_with_total(&stale.uploader, "1", 2).await;
    // The copy still has what it had, but it is not known that nothing has changed.
    let (status, second) = ask(Some(&first)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = ask(Some(&second)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_continue_while_the_primary_is_down() {
    let stale = Stale::start().await;
    stale.gate.set(Passage::Closed);
    wait_until("reads come from the copy", async || {
        let (status, _) = stale.installation.get(&stale.reader, RUNS).await;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(stale.runs(&stale.uploader).await, 1);
    let ready = stale.installation.readiness().await;
    assert_eq!(ready["status"], "degraded", "{ready}");
    // The bucket knows the tokens that were deleted.
    let bucket = Bucket::open(&Settings::Local {
        path: stale.installation.system.storage().to_path_buf(),
    })
    .unwrap();
    bucket.revoke(TokenId(stale.reader.id.parse().unwrap())).await.unwrap();
    let (status, _) = stale.installation.get(&stale.reader, RUNS).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    stale.gate.set(Passage::Open);
    wait_until("the primary is read again", async || {
        let ready = stale.installation.readiness().await;
        (ready["status"] == "ready").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_reads_that_does_not_answer_is_not_missed() {
    let mut system = prepared().await;
    let gate = Gate::before(system.database.address()).await;
    let url = system.database.url_through(&gate.address);
    system.variables.push(("DB_READ_URL".to_owned(), url));
    let installation = Installation::of(system, "serve").await;
    let reader = installation.token("1", "read", &[]);
    let replica_is = async |status: &str| {
        wait_until("the readiness shows the replica", async || {
            let ready = installation.readiness().await;
            (ready["parts"]["replica"]["status"] == status).then_some(())
        })
        .await;
    };
    replica_is("ok").await;
    assert_eq!(installation.get(&reader, RUNS).await.0, StatusCode::OK);
    gate.set(Passage::Closed);
    // At once, before it is known that the server is gone, and afterwards.
    assert_eq!(installation.get(&reader, RUNS).await.0, StatusCode::OK);
    replica_is("down").await;
    assert_eq!(installation.get(&reader, RUNS).await.0, StatusCode::OK);
    gate.set(Passage::Open);
    replica_is("ok").await;
    assert_eq!(installation.get(&reader, RUNS).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_not_read() {
    let mut system = prepared().await;
    let other = Database::create_empty().await;
    system.variables.push(("DB_READ_URL".to_owned(), other.url()));
    let installation = Installation::of(system, "serve").await;
    let readiness = wait_until("the servers were compared", async || {
        let ready = installation.readiness().await;
        let error = ready["parts"]["replica"]["error"].as_str().unwrap_or_default();
        error
            .contains("DB_READ_URL leads to another database than DB_URL")
            .then_some(ready)
    })
    .await;
    assert_eq!(readiness["status"], "degraded", "{readiness}");
    let reader = installation.token("1", "read", &[]);
    assert_eq!(installation.get(&reader, RUNS).await.0, StatusCode::OK);
    let logged = installation.service.log().join("\n");
    assert!(logged.contains("leads to another database"), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_are_separate_behind_a_pooler_that_drops_the_role() {
    let mut system: System = prepared().await;
    let pooler = Pooler::before(&system.database).await;
    let url = system.database.url_through(&pooler.address);
    system.variables.push(("DB_READ_URL".to_owned(), url));
    let installation = Installation::of(system, "serve").await;
    installation.add_environment("other");
    let uploader = installation.token("1", "upload", &[]);
    installation.upload_manifest(&uploader, "run", newest_manifest()).await;
    let of_all = installation.token("1", "read", &[]);
    let own = installation.token("1", "read", &["--environment", SLUG]);
    let other = installation.token("1", "read", &["--environment", "other"]);
    wait_until("the pooler is used", async || {
        let ready = installation.readiness().await;
        (ready["status"] == "ready").then_some(())
    })
    .await;
    installation.run_with_total(&of_all, "1", 1).await;
    installation.run_with_total(&own, "1", 1).await;
    installation.run_with_total(&other, "1", 0).await;
    assert_eq!(
        installation.get(&other, "/api/v2/accounts/1/runs/1/").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_used_when_the_primary_is_gone() {
    let mut system = prepared().await;
    let (first, second) = (
        Gate::before(system.database.address()).await,
        Gate::before(system.database.address()).await,
    );
    let hosts = format!("{},{}", first.address, second.address);
    let url = system.database.url_through(&hosts);
    system.variables.push(("DB_URL".to_owned(), url));
    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    for (number, run) in (1..).zip(["before", "after", "back"]) {
        installation.upload_manifest(&token, run, newest_manifest()).await;
        installation.run_with_total(&token, "1", number).await;
        let (gone, used) = if number % 2 == 1 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        used.set(Passage::Open);
        gone.set(Passage::Closed);
        // Commands look for the server that accepts writes, too.
        installation.command(&["account", "list"]);
    }
    let moved = installation.service.log().join("\n");
    assert!(moved.contains("another server of PostgreSQL is used"), "{moved}");
}
