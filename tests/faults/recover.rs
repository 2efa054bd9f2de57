//! Recovery after everything but the bucket, or the newest part of the database, was lost.

use clock::Clock;
use projector::{Outcome, Projector};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{Database, run_command, try_command};

use crate::history::{
    Dice, assert_same, bucket_of, event_file, pool_of, store_file, stored_files, visible_state, write_history,
    write_upload,
};
use crate::installation::{BINARY, Installation, newest_manifest};
use crate::number;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_restored_from_the_bucket_alone() {
    let mut installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    let events = write_history(&bucket, &files, 150, 21).await;
    // One by one, which must lead to the same state as the batches of the recovery.
    let projector = Projector::new(pool_of(&installation.system), bucket, Clock::System);
    for event in &events {
        projector.apply(event).await.unwrap();
    }
    let token = installation.token("1", "read,upload", &[]);
    let deleted = installation.token("2", "read", &[]);
    installation.command(&["token", "delete", &deleted.id]);
    let pruned = installation.command(&["prune", "--account", "2", "--keep", "1", "--apply"]);
    assert!(pruned["runs"].as_u64().unwrap() > 0, "{pruned}");
    let before = visible_state(&pool_of(&installation.system)).await;

    // PostgreSQL and NATS are empty.
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    system.database = Database::create_empty().await;
    system.nats.stop();
    system.nats.wipe();
    system.nats.restart().await;
    let recovered = run_command(BINARY, &["recover"], &system);
    assert_eq!(recovered["events"]["dead_letters"], 0, "{recovered}");
    assert_same(&visible_state(&pool_of(&system)).await, &before);
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");

    // The service continues: the token reads and uploads, the deleted token does not.
    installation = Installation::of(system, "serve").await;
    let total =
        installation.get(&token, "/api/v2/accounts/1/runs/").await.1["extra"]["pagination"]["total_count"].clone();
    installation
        .upload_manifest(&token, "after the loss", newest_manifest())
        .await;
    installation
        .run_with_total(&token, "1", total.as_i64().unwrap() + 1)
        .await;
    assert_eq!(installation.get(&deleted, "/api/v2/accounts/2/runs/").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_an_older_backup_gets_the_same_ids_again() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    let half = number("FAULTS_EVENTS", 1_500) / 2;
    let mut events = write_history(&bucket, &files, half, 31).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    let backup = system.database.copy().await;

    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    events.extend(write_history(&bucket, &files, half, 32).await);
    run_command(BINARY, &["replay"], &installation.system);
    let before = visible_state(&pool_of(&installation.system)).await;
    assert_eq!(installation.service.stop().await, Some(0));

    system = installation.system;
    system.database = backup;
    // Each event is applied twice, including those in the backup, in a different order by each of three projectors.
    let mut dice = Dice::new(33);
    let projectors = [1, 20, 256].map(|size| {
        let projector = Projector::new(pool_of(&system), bucket.clone(), Clock::System);
        let mut mine = events.clone();
        mine.extend(events.iter().step_by(3).cloned());
        dice.shuffle(&mut mine);
        tokio::spawn(async move {
            for batch in mine.chunks(size) {
                for result in projector.apply_all(batch).await {
                    result.unwrap();
                }
            }
        })
    });
    for projector in projectors {
        projector.await.unwrap();
    }
    // The token was missed, too.
    run_command(BINARY, &["replay"], &system);
    assert_same(&visible_state(&pool_of(&system)).await, &before);
    let installation = Installation::of(system, "serve").await;
    assert_eq!(installation.get(&token, "/api/v2/accounts/1/runs/").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_object_is_reported_and_the_rest_is_restored() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    let bucket = bucket_of(&system);
    let unreadable = write_upload(&bucket, (1, 1), "unreadable", 60, &file).await;
    write_upload(&bucket, (1, 1), "well", 50, &file).await;
    std::fs::write(event_file(&system, &unreadable), "{").unwrap();
    system.database = Database::create_empty().await;
    for command in ["recover", "replay"] {
        let (code, output, errors) = try_command(BINARY, &[command], &system);
        assert!(
            code == Some(1) && errors.contains("1 event cannot be read"),
            "{errors}{output}"
        );
        assert!(errors.contains(&unreadable.id.to_string()), "{errors}");
    }
    let runs: Vec<String> = sqlx::query_scalar("SELECT airflow_run_id FROM runs")
        .fetch_all(&pool_of(&system))
        .await
        .unwrap();
    assert_eq!(runs, ["well"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_the_database_lost_are_never_assigned_again() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let system = installation.system;
    let (bucket, pool) = (bucket_of(&system), pool_of(&system));
    write_history(&bucket, &files, 60, 41).await;
    run_command(BINARY, &["replay"], &system);
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    let projector = Projector::new(pool.clone(), bucket.clone(), Clock::System);
    let last = async |table: &str| -> i64 {
        let max = format!("SELECT max(id) FROM ids.{table}");
        sqlx::query_scalar(AssertSqlSafe(max)).fetch_one(&pool).await.unwrap()
    };
    // The third number is in the middle of a segment.
    for (number, damage) in [
        "DELETE FROM ids.runs WHERE id > 3",
        "DELETE FROM ids.runs WHERE id > 3; DELETE FROM ids.segments",
        "DELETE FROM ids.runs; DELETE FROM ids.segments; DELETE FROM ids.jobs WHERE id = 2",
        "DELETE FROM ids.segments WHERE last > 3; DELETE FROM ids.jobs",
    ]
    .into_iter()
    .enumerate()
    {
        let (runs, jobs) = (last("runs").await, last("jobs").await);
        owner.execute(damage).await.unwrap();
        let run = format!("after-{number}");
        let upload = write_upload(&bucket, (1, 1), &run, 5, &files[0]).await;
        assert_eq!(projector.apply(&upload).await.unwrap(), Outcome::Applied);
        let id: i64 = sqlx::query_scalar("SELECT id FROM runs WHERE airflow_run_id = $1")
            .bind(&run)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(id, runs + 1, "{damage}");
        let recorded: i64 = sqlx::query_scalar("SELECT count(*) FROM ids.runs")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(recorded, id, "{damage}");
        run_command(BINARY, &["recover"], &system);
        assert_eq!((last("runs").await, last("jobs").await), (id, jobs), "{damage}");
    }
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
