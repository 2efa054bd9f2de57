//! Events of one batch that are not applied with the others.

use clock::Clock;
use projector::{ApplyError, Outcome, Projector};
use schemas::{Event, UploadedFile};
use testkit::{System, run_command};

use crate::history::{bucket_of, hold_placement, pool_of, store_file, write_upload};
use crate::installation::{BINARY, Installation, newest_manifest, prepared};
use crate::letters::{letters, refuse, stop_refusing, system_with_file};

async fn write_uploads(system: &System, environment: i64, runs: usize, file: &UploadedFile) -> Vec<Event> {
    let bucket = bucket_of(system);
    let mut events = Vec::new();
    for number in 0..runs {
        let run = format!("run-{environment}-{number}");
        events.push(write_upload(&bucket, (1, environment), &run, 50, file).await);
    }
    events
}

fn projector_of(system: &System) -> Projector {
    Projector::new(pool_of(system), bucket_of(system), Clock::System)
}

/// The transaction that applied an event.
async fn transaction_of(system: &System, event: &Event) -> String {
    let transaction = sqlx::query_scalar("SELECT xmin::text FROM ledger WHERE event_id = $1").bind(event.id.0);
    transaction.fetch_one(&pool_of(system)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_the_middle_that_cannot_be_applied_is_the_only_dead_letter() {
    let (system, file) = system_with_file().await;
    let events = write_uploads(&system, 1, 9, &file).await;
    refuse(&system, &[(&events[4], "P0001")]).await;
    let results = projector_of(&system).apply_all(&events).await;
    for (number, result) in results.into_iter().enumerate() {
        let expected = if number == 4 {
            Outcome::DeadLetter
        } else {
            Outcome::Applied
        };
        assert_eq!(result.unwrap(), expected, "{number}");
    }
    let dead = letters(&system);
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].0, events[4].id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_postgres_is_the_fault_of_no_event() {
    refuse_all_for_a_while("53100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_slow_with_all_events_is_the_fault_of_none() {
    refuse_all_for_a_while("57014").await;
}

/// Has PostgreSQL refuse all events with this error, and then none.
async fn refuse_all_for_a_while(error: &str) {
    let (system, file) = system_with_file().await;
    let events = write_uploads(&system, 1, 40, &file).await;
    let all: Vec<(&Event, &str)> = events.iter().map(|event| (event, error)).collect();
    refuse(&system, &all).await;
    let projector = projector_of(&system);
    // More often than an event may begin without an end.
    for _ in 0..6 {
        for result in projector.apply_all(&events).await {
            assert!(matches!(result, Err(ApplyError::Unavailable(_))), "{result:?}");
        }
    }
    assert_eq!(letters(&system), []);
    stop_refusing(&system).await;
    for result in projector.apply_all(&events).await {
        assert_eq!(result.unwrap(), Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_of_two_locked_environments_leave_the_others_alone() {
    let (system, file) = system_with_file().await;
    let mut environments = vec![1];
    for slug in ["staging", "testing"] {
        let to = ["environment", "add", "--account", "1", "--project", "1"];
        let added = [&to[..], &["--name", slug, "--slug", slug]].concat();
        environments.push(run_command(BINARY, &added, &system)["id"].as_i64().unwrap());
    }
    let mut of_environments = Vec::new();
    for environment in environments.iter().copied() {
        of_environments.push(write_uploads(&system, environment, 16, &file).await);
    }
    // Each environment has every third event.
    let events: Vec<Event> = (0..48).map(|at| of_environments[at % 3][at / 3].clone()).collect();
    let first = hold_placement(&system, "read_model", environments[0]).await;
    let second = hold_placement(&system, "read_model", environments[1]).await;
    let projector = projector_of(&system);
    for (at, result) in projector.apply_all(&events).await.into_iter().enumerate() {
        match at % 3 {
            2 => assert_eq!(result.unwrap(), Outcome::Applied, "{at}"),
            _ => assert!(matches!(result, Err(ApplyError::Unavailable(_))), "{at}: {result:?}"),
        }
    }
    for held in [first, second] {
        sqlx::Connection::close(held).await.unwrap();
    }
    for (at, result) in projector.apply_all(&events).await.into_iter().enumerate() {
        let expected = if at % 3 == 2 { Outcome::Known } else { Outcome::Applied };
        assert_eq!(result.unwrap(), expected, "{at}");
    }
    assert_eq!(letters(&system), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_a_large_file_is_a_batch_of_its_own() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let small = store_file(&installation, &token, newest_manifest()).await;
    let mut padded = newest_manifest();
    padded.resize(17 << 20, b' ');
    let large = store_file(&installation, &token, padded).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let system = installation.system;
    let bucket = bucket_of(&system);
    let mut events = Vec::new();
    for (run, file) in [
        ("first", &small),
        ("second", &small),
        ("large", &large),
        ("last", &small),
    ] {
        events.push(write_upload(&bucket, (1, 1), run, 50, file).await);
    }
    for result in projector_of(&system).apply_all(&events).await {
        assert_eq!(result.unwrap(), Outcome::Applied);
    }
    let mut transactions = Vec::new();
    for event in &events {
        transactions.push(transaction_of(&system, event).await);
    }
    assert_eq!(transactions[0], transactions[1]);
    assert_ne!(transactions[1], transactions[2]);
    assert_ne!(transactions[2], transactions[3]);
}
