//! Claims of numbers that fail, or that a process leaves behind when it ends.

use std::collections::BTreeSet;
use std::path::Path;

use bucket::{Bucket, Journal};
use clock::Clock;
use projector::{ApplyError, Outcome, Projector};
use schemas::{Event, EventData};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use testkit::s3::{Failure, S3Server};
use testkit::{Database, Service, System, run_command, wait_until};

use crate::history::{begin_command, bucket_of, hold_segments, pool_of, stopped_with_files, write_upload};
use crate::installation::{BINARY, Installation, newest_manifest, prepare, prepared};

/// The number of new runs of a batch.
const RUNS: usize = 20;

/// The number of claims that a recovery records with one statement.
const CLAIMS_AT_ONCE: i64 = 1_000;

/// Returns the owners in each claim of runs in this folder of the bucket.
pub(crate) fn claims(bucket: &Path) -> Vec<usize> {
    let Ok(folder) = std::fs::read_dir(bucket.join("ids/runs")) else {
        return Vec::new();
    };
    let claims = folder.map(|entry| entry.unwrap().path());
    let claims = claims.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let owners = claims.filter_map(|path| {
        let claim: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).ok()?;
        Some(claim["owners"].as_array().unwrap().len())
    });
    owners.collect()
}

/// The numbers of all runs that are shown, and the highest that is recorded.
async fn numbers(pool: &PgPool) -> (BTreeSet<i64>, i64) {
    let shown: Vec<i64> = sqlx::query_scalar("SELECT id FROM runs").fetch_all(pool).await.unwrap();
    let last = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM ids.runs")
        .fetch_one(pool)
        .await;
    (shown.into_iter().collect(), last.unwrap())
}

fn from_one_to(last: usize) -> (BTreeSet<i64>, i64) {
    let last = i64::try_from(last).unwrap();
    ((1..=last).collect(), last)
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_fail_leave_no_gap_and_assign_no_number_twice() {
    let server = S3Server::start().await.unwrap();
    let mut system = System::start().await;
    system.variables.extend(server.variables("artifacts").unwrap());
    let installation = Installation::of(prepare(system), "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    let pool = pool_of(&installation.system);
    let bucket = Bucket::open(&server.settings("artifacts").unwrap()).unwrap();
    let first = bucket.list_upload_events().await.unwrap()[0];
    let first = bucket.get_event(Journal::Uploads, first).await.unwrap();
    let Ok(EventData::ArtifactsUploaded(upload)) = first.data() else {
        panic!("not an upload")
    };
    let projector = Projector::new(pool.clone(), bucket.clone(), Clock::System);
    assert_eq!(projector.apply(&first).await.unwrap(), Outcome::Applied);
    let mut expected = numbers(&pool).await.1;

    for failure in [Failure::Refused, Failure::Unconfirmed] {
        let mut events: Vec<Event> = Vec::new();
        for number in 0..RUNS {
            events.push(write_upload(&bucket, (1, 1), &format!("{failure:?}-{number}"), 50, &upload.files[0]).await);
        }
        server.set_failing_writes(Some(("ids/runs", failure)));
        for result in projector.apply_all(&events).await {
            assert!(
                matches!(result, Err(ApplyError::Unavailable(_))),
                "{failure:?}: {result:?}"
            );
        }
        assert_eq!(numbers(&pool).await.1, expected, "{failure:?}");
        server.set_failing_writes(None);
        // A different part of the batch comes first, after a claim of all of it.
        events.rotate_left(RUNS / 2);
        let (first, others) = events.split_at(RUNS / 4);
        for part in [first, others] {
            for result in projector.apply_all(part).await {
                assert_eq!(result.unwrap(), Outcome::Applied, "{failure:?}");
            }
        }
        expected += i64::try_from(RUNS).unwrap();
        let (shown, last) = numbers(&pool).await;
        assert_eq!((shown, last), ((1..=expected).collect(), expected), "{failure:?}");
    }
    // The server fails after it created the claim. The client tries again, and finds its own.
    server.set_failing_writes(Some(("ids/runs", Failure::Interrupted)));
    let interrupted = write_upload(&bucket, (1, 1), "interrupted", 50, &upload.files[0]).await;
    assert_eq!(projector.apply(&interrupted).await.unwrap(), Outcome::Applied);
    expected += 1;
    assert_eq!(numbers(&pool).await.1, expected);

    // A claim that cannot be read is not the fault of the events.
    let damaged = server
        .folder("artifacts")
        .join(format!("ids/runs/{}.json", expected + 1));
    std::fs::write(&damaged, "{").unwrap();
    let last = write_upload(&bucket, (1, 1), "last", 50, &upload.files[0]).await;
    let waiting = projector.apply(&last).await;
    assert!(matches!(waiting, Err(ApplyError::Unavailable(_))), "{waiting:?}");
    std::fs::remove_file(damaged).unwrap();
    assert_eq!(projector.apply(&last).await.unwrap(), Outcome::Applied);
    assert_eq!(numbers(&pool).await.1, expected + 1);

    for count in ["SELECT count(*) FROM attempts", "SELECT count(*) FROM dead_letters"] {
        assert_eq!(installation.count(count).await, 0, "{count}");
    }
    let mut owners = claims(&server.folder("artifacts"));
    owners.sort_unstable();
    assert_eq!(owners.last(), Some(&RUNS), "{owners:?}");
    let verified = run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_after_it_claimed_the_numbers_of_a_batch_uses_them_later() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let pool = pool_of(&installation.system);
    // The job has its number already.
    let projector = Service::start(BINARY, "projector", &installation.system).await;
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    wait_until("the first upload is shown", async || {
        (numbers(&pool).await == from_one_to(1)).then_some(())
    })
    .await;
    projector.kill();
    for number in 0..RUNS {
        installation
            .upload_manifest(&token, &format!("run-{number}"), newest_manifest())
            .await;
    }
    let mut owner = hold_segments(&installation.system).await;
    let projector = Service::start(BINARY, "projector", &installation.system).await;
    wait_until("numbers are claimed", async || {
        (claims(installation.system.storage()).len() > 1).then_some(())
    })
    .await;
    projector.kill();
    owner.execute("ROLLBACK").await.unwrap();
    let owners = claims(installation.system.storage());
    assert!(owners.iter().any(|owners| *owners > 1), "{owners:?}");
    assert_eq!(numbers(&pool).await, from_one_to(1));

    let _projector = Service::start(BINARY, "projector", &installation.system).await;
    wait_until("all uploads are shown", async || {
        (numbers(&pool).await == from_one_to(RUNS + 1)).then_some(())
    })
    .await;
    assert_eq!(claims(installation.system.storage()).iter().sum::<usize>(), RUNS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_killed_while_it_restores_numbers_continues() {
    let (mut system, files) = stopped_with_files().await;
    let (bucket, folder) = (bucket_of(&system), system.storage().join("ids/runs"));
    // Earlier versions claimed numbers one by one.
    let last = CLAIMS_AT_ONCE + 100;
    std::fs::create_dir_all(&folder).unwrap();
    for number in 1..=last {
        let owner = json!({"account_id": 1, "environment_id": 1, "key": {"run_id": format!("early-{number}")}});
        std::fs::write(folder.join(format!("{number}.json")), owner.to_string()).unwrap();
    }
    system.database = Database::create_empty().await;
    run_command(BINARY, &["migrate"], &system);
    let pool = pool_of(&system);
    let recorded = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM ids.runs")
            .fetch_one(&pool)
            .await;
        count.unwrap()
    };
    // The last claim cannot be recorded.
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    let held = "INSERT INTO ids.runs (id, account_id, environment_id, key, key_sha256) VALUES ($1, 1, 1, '', '\\x00')";
    owner.execute("BEGIN").await.unwrap();
    sqlx::query(held).bind(last).execute(&mut owner).await.unwrap();
    let recovery = begin_command(&system, &["recover"]);
    // Another connection, since a transaction sees the activity as it was at its first look.
    let mut watcher = PgConnection::connect_with(&system.database.options()).await.unwrap();
    let waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the recovery waits for the last claim", async || {
        let count = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {waiting}")));
        let count: i64 = count.fetch_one(&mut watcher).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    drop(recovery);
    // PostgreSQL would finish the statement of a client that was killed.
    let end = format!("SELECT pg_terminate_backend(pid, 10000) {waiting}");
    watcher.execute(AssertSqlSafe(end)).await.unwrap();
    assert!(recorded().await > 0);
    owner.execute("ROLLBACK").await.unwrap();
    assert!(recorded().await < last, "{}", recorded().await);

    let recovered = run_command(BINARY, &["recover"], &system);
    assert_eq!(recovered["events"]["dead_letters"], 0, "{recovered}");
    assert_eq!(recorded().await, last);
    let upload = write_upload(&bucket, (1, 1), "after the recovery", 5, &files[0]).await;
    let projector = Projector::new(pool.clone(), bucket, Clock::System);
    assert_eq!(projector.apply(&upload).await.unwrap(), Outcome::Applied);
    let id: i64 = sqlx::query_scalar("SELECT id FROM runs WHERE airflow_run_id = 'after the recovery'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(id, last + 1);
}
