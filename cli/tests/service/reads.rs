//! What reads cost PostgreSQL: round trips and connections.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;
use testkit::{Service, Wire, wait_until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::installation::{BINARY, Installation, SLUG, Token, newest_manifest};

/// The connections that the read side keeps open.
const CONNECTIONS: usize = 20;

/// An installation with one run, whose read side is ready.
struct Reads {
    installation: Installation,
    token: Token,
    run: i64,
    job: i64,
    /// Connections of the test's own.
    pool: PgPool,
}

impl Reads {
    async fn start() -> Self {
        let installation = Installation::start().await;
        let token = installation.token("1", "read,upload", &[]);
        installation.upload_manifest(&token, "run", newest_manifest()).await;
        let run = installation.run_with_total(&token, "1", 1).await;
        let mut reads = Self {
            pool: installation.system.database.pool("postgres"),
            installation,
            token,
            run: run["id"].as_i64().unwrap(),
            job: run["job_definition_id"].as_i64().unwrap(),
        };
        // Another process, so that only reads have connections.
        reads.restart_with(reads.installation.system.database.url()).await;
        reads
    }

    async fn restart_with(&mut self, database_url: String) {
        let installation = &mut self.installation;
        installation.system.variables.push(("DB_URL".to_owned(), database_url));
        installation.service = Service::start(BINARY, "api", &installation.system).await;
    }

    /// Waits until all connections are ready, and returns the ids of their processes.
    async fn ready(&self) -> Vec<i32> {
        wait_until("all connections are ready", async || {
            // The end of each transaction, and of the preparation.
            let processes: Vec<i32> = sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbt-api'
                    AND state = 'idle' AND query = 'ROLLBACK' ORDER BY pid",
            )
            .fetch_all(&self.pool)
            .await
            .unwrap();
            (processes.len() == CONNECTIONS).then_some(processes)
        })
        .await
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.installation.get(&self.token, path).await.0
    }

    /// Sends a request without reading the answer. Dropping the connection leaves it.
    async fn ask(&self) -> TcpStream {
        let address = self.installation.service.url.trim_start_matches("http://").to_owned();
        let mut client = TcpStream::connect(&address).await.unwrap();
        let key = &self.token.key;
        let request = format!("GET {PAGE} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Token {key}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }
}

const PAGE: &str = "/api/v2/accounts/1/runs/?limit=100&order_by=-id";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_runs_a_run_and_a_job_take_two_round_trips() {
    let mut reads = Reads::start().await;
    let wire = Wire::before(reads.installation.system.database.address()).await;
    let url = reads.installation.system.database.url_through(&wire.address);
    reads.restart_with(url).await;
    let (run, job) = (reads.run, reads.job);
    let paths = [
        PAGE.to_owned(),
        "/api/v2/accounts/1/runs/?limit=100".to_owned(),
        format!("/api/v2/accounts/1/runs/{run}/"),
        format!("/api/v2/accounts/1/jobs/{job}/"),
    ];
    for path in paths {
        reads.ready().await;
        let _ = wire.take();
        assert_eq!(reads.status(&path).await, StatusCode::OK, "{path}");
        let trips = of_answer(wire.take());
        assert_eq!(trips.len(), 2, "{path}: {trips:#?}");
        assert!(
            trips[0].contains("READ ONLY") && trips[0].contains("token_by_key"),
            "{path}: {trips:#?}"
        );
    }
}

/// Without what does not delay the answer: the end of the transaction, which is cancelled by another connection if the machine is busy, and
/// the note that the token was used.
fn of_answer(mut trips: Vec<String>) -> Vec<String> {
    let count = |word: &str| trips.iter().filter(|trip| trip.contains(word)).count();
    let (opened, cancelled) = (count("application_name"), count("pg_cancel_backend"));
    assert!(opened <= cancelled.max(1), "connections were opened: {trips:#?}");
    let opens = |trip: &str| trip.contains("application_name") || trip.starts_with("p\0") || trip.starts_with("X\0");
    let words = ["ROLLBACK", "note_token_use", "pg_cancel_backend"];
    trips.retain(|trip| !opens(trip) && !words.iter().any(|word| trip.contains(word)));
    trips
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_same_with_a_key_of_datacoves() {
    let (installation, datacoves) = crate::verified::start("300", &[]).await;
    let holder = json!({ "account_ids": [1], "environments": [{ "slug": SLUG }], "email": "a@b.example" });
    let mut reads = Reads {
        pool: installation.system.database.pool("postgres"),
        token: datacoves.admit("key", holder),
        installation,
        run: 0,
        job: 0,
    };
    let wire = Wire::before(reads.installation.system.database.address()).await;
    let url = reads.installation.system.database.url_through(&wire.address);
    reads.restart_with(url).await;
    reads.ready().await;
    let _ = wire.take();
    assert_eq!(reads.status(PAGE).await, StatusCode::OK);
    let trips = of_answer(wire.take());
    assert_eq!(trips.len(), 2, "{trips:#?}");
    assert!(trips[0].contains("READ ONLY") && trips[0].contains(SLUG), "{trips:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_open_before_requests_and_a_burst_opens_none() {
    let reads = Reads::start().await;
    let before = reads.ready().await;
    let answers = join_all((0..64).map(|_| reads.status(PAGE))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    assert_eq!(reads.ready().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_cost_no_connection() {
    let reads = Reads::start().await;
    let before = reads.ready().await;
    // In the middle of a statement, and in the queue before it.
    let mut lock = reads.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let clients = join_all((0..50).map(|_| reads.ask())).await;
    wait_until("the statements wait for the lock", async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&reads.pool).await.unwrap();
        (waiting == i64::try_from(CONNECTIONS).unwrap()).then_some(())
    })
    .await;
    drop(clients);
    // The statements need not wait for the lock.
    assert_eq!(reads.ready().await, before);
    lock.rollback().await.unwrap();
    // Wherever they are.
    for _ in 0..4 {
        drop(join_all((0..50).map(|_| reads.ask())).await);
    }
    assert_eq!(reads.status(PAGE).await, StatusCode::OK);
    assert_eq!(reads.ready().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_the_loss_of_all_connections() {
    let reads = Reads::start().await;
    let before = reads.ready().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1)";
    sqlx::query(cut).bind(&before).execute(&reads.pool).await.unwrap();
    let answers = join_all((0..64).map(|_| reads.status(PAGE))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    let after = reads.ready().await;
    assert!(
        after.iter().all(|process| !before.contains(process)),
        "{before:?} {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_until_the_use_of_its_token_is_recorded() {
    let reads = Reads::start().await;
    let forget = "UPDATE directory.token_use SET last_used_at = last_used_at - interval '1 hour'";
    sqlx::query(forget).execute(&reads.pool).await.unwrap();
    // Another process is recording the same.
    let mut other = reads.pool.begin().await.unwrap();
    sqlx::query(forget).execute(&mut *other).await.unwrap();
    let answers = join_all((0..64).map(|_| reads.status(PAGE))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    other.rollback().await.unwrap();
    wait_until("the use is recorded", async || {
        assert_eq!(reads.status(PAGE).await, StatusCode::OK);
        let recent = "SELECT count(*) FROM directory.token_use WHERE last_used_at > now() - interval '1 minute'";
        (reads.installation.count(recent).await == 1).then_some(())
    })
    .await;
}
