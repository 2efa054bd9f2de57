//! Reads from servers beside the primary, and a database with several servers.
//!
//! What only a standby does is tested in `tests/production`.

use reqwest::StatusCode;
use testkit::{Database, Gate, Passage, Pooler, System, wait_until};

use crate::installation::{Installation, SLUG, newest_manifest, prepared};

const RUNS: &str = "/api/v2/accounts/1/runs/";

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_read_while_the_server_for_reads_does_not_answer() {
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
