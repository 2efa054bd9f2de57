//! Rebuilds of the read model while it is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testkit::{run_command, try_command, wait_until};

use crate::history::{
    assert_same, begin_command, bucket_of, hold_placement, pool_of, stored_files, visible_state, wait_for_waiters,
    write_history, write_upload,
};
use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_finds_no_events_is_not_put_in_place() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    installation.run_with_total(&token, "1", 1).await;
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    let before = visible_state(&pool_of(&system)).await;
    // The settings name a wrong bucket.
    let empty = tempfile::tempdir().unwrap();
    let storage = system.storage().to_owned();
    for path in [empty.path(), &storage] {
        system
            .variables
            .push(("STORAGE_PATH".to_owned(), path.display().to_string()));
        for options in [&["--accept-differences"][..], &["--verify"], &[]] {
            let (code, output, errors) = try_command(BINARY, &[&["rebuild"], options].concat(), &system);
            if path == storage {
                assert_eq!(code, Some(0), "{options:?}: {errors}");
            } else {
                assert!(
                    code == Some(1) && errors.contains("contains no events"),
                    "{options:?}: {errors}{output}"
                );
            }
            assert_same(&visible_state(&pool_of(&system)).await, &before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_uploads_are_not_affected_by_a_rebuild() {
    let installation = Arc::new(Installation::start().await);
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 300, 7).await;
    run_command(BINARY, &["replay"], &installation.system);
    let token = installation.token("1", "read,upload", &[]);
    let first = installation.get(&token, "/api/v2/accounts/1/runs/?limit=1").await.1;
    let mut total = first["extra"]["pagination"]["total_count"].as_i64().unwrap();
    assert!(total > 50, "{first}");

    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (installation, done) = (Arc::clone(&installation), Arc::clone(&done));
        let token = installation.token("1", "read,upload", &[]);
        tokio::spawn(async move {
            let (mut reads, mut uploads) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let path = "/api/v2/accounts/1/runs/?limit=100&include_related=run_steps,job";
                let (status, page) = installation.get(&token, path).await;
                assert_eq!(status, 200, "{page}");
                let now = page["extra"]["pagination"]["total_count"].as_i64().unwrap();
                assert!(now >= total, "{now} runs after {total}");
                total = now;
                let nodes = installation
                    .get(&token, "/api/v2/accounts/1/environments/1/nodes/?limit=5")
                    .await;
                assert_eq!(nodes.0, 200, "{}", nodes.1);
                assert!(!nodes.1["data"].as_array().unwrap().is_empty(), "no nodes: {}", nodes.1);
                reads += 1;
                if reads % 5 == 0 {
                    let run = format!("live-{uploads}");
                    installation.upload_manifest(&token, &run, newest_manifest()).await;
                    uploads += 1;
                }
            }
            (reads, uploads)
        })
    };
    for _ in 0..3 {
        let rebuilt = tokio::task::spawn_blocking({
            let installation = Arc::clone(&installation);
            move || run_command(BINARY, &["rebuild"], &installation.system)
        });
        let rebuilt = rebuilt.await.unwrap();
        assert_eq!(rebuilt["in_place"], true, "{rebuilt:#}");
        assert_eq!(rebuilt["differences"], json!([]), "{rebuilt:#}");
    }
    done.store(true, Ordering::Relaxed);
    let (reads, uploads) = reader.await.unwrap();
    assert!(reads > 10 && uploads > 1, "{reads} reads, {uploads} uploads");
    for upload in 0..uploads {
        let key = format!("live-{upload}");
        testkit::wait_until("the upload is shown once", async || {
            let count = "SELECT count(*) FROM runs WHERE account_id = 1 AND airflow_run_id = $1";
            let shown: i64 = sqlx::query_scalar(count)
                .bind(&key)
                .fetch_one(&pool_of(&installation.system))
                .await
                .unwrap();
            (shown == 1).then_some(())
        })
        .await;
    }
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_read_model_is_found_and_repaired() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 60, 8).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(installation.service.stop().await, Some(0));
    let system = installation.system;
    let pool = pool_of(&system);
    let whole = visible_state(&pool).await;
    for damage in [
        "UPDATE runs SET dbt_version = 'damaged' WHERE id = (SELECT min(id) FROM runs)",
        "DELETE FROM run_steps WHERE run_id = (SELECT max(run_id) FROM run_steps)",
        "UPDATE nodes SET doc = '\\x00' WHERE id = (SELECT min(id) FROM nodes)",
    ] {
        sqlx::query(damage).execute(&pool).await.unwrap();
    }
    let (code, output, errors) = try_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(code, Some(1), "{errors}");
    for table in ["\"runs\"", "\"run_steps\"", "\"nodes\""] {
        assert!(output.contains(table), "{table}: {output}");
    }
    // Without `--accept-differences` the read model is not replaced, and the next rebuild continues with the new one.
    let (code, _, errors) = try_command(BINARY, &["rebuild"], &system);
    assert!(code == Some(1) && errors.contains("--accept-differences"), "{errors}");
    let repaired = run_command(BINARY, &["rebuild", "--accept-differences", "--keep-old"], &system);
    assert_eq!(repaired["in_place"], true, "{repaired:#}");
    assert_eq!(
        repaired["events"]["applied"], 0,
        "continues with the new read model: {repaired}"
    );
    assert_same(&visible_state(&pool).await, &whole);
    let old: i64 = sqlx::query_scalar("SELECT count(*) FROM read_model_old.runs WHERE dbt_version = 'damaged'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(old, 1);
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]));
}

/// So many events are applied at once. They are of one environment, and older than all others.
const FIRST_BATCH: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_continues_unless_another_version_started_it() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    let events = FIRST_BATCH + write_history(&bucket, &files, 60, 9).await.len();
    for number in 0..FIRST_BATCH {
        let minutes = 400_000 - i64::try_from(number).unwrap();
        write_upload(&bucket, (1, 1), &format!("early-{number}"), minutes, &files[0]).await;
    }
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(installation.service.stop().await, Some(0));
    let system = installation.system;
    let pool = pool_of(&system);

    // It cannot finish before it is killed.
    let held = hold_placement(&system, "read_model_next", 2).await;
    let rebuild = begin_command(&system, &["rebuild"]);
    wait_for_waiters(&system).await;
    let done = wait_until("some events are applied", async || {
        let done = "SELECT count(*) FROM read_model_next.ledger";
        let done: i64 = sqlx::query_scalar(done).fetch_one(&pool).await.unwrap();
        (done > 0).then_some(done)
    })
    .await;
    let (code, _, errors) = try_command(BINARY, &["rebuild", "--verify"], &system);
    assert!(code == Some(1) && errors.contains("another rebuild"), "{errors}");
    drop(rebuild);
    held.close().await.unwrap();
    wait_until("its connections are closed", async || {
        let others =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbt-api'";
        let others: i64 = sqlx::query_scalar(others).fetch_one(&pool).await.unwrap();
        (others == 0).then_some(())
    })
    .await;
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    let applied = verified["events"]["applied"].as_i64().unwrap();
    let all = i64::try_from(events + 2 * files.len()).unwrap();
    // Events that waited for the lock may have been applied by the killed process.
    assert!(applied <= all - done, "{applied} of {all} after {done}");

    // A rebuild that another version started is not continued.
    sqlx::query("UPDATE runs SET dbt_version = 'damaged'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(try_command(BINARY, &["rebuild"], &system).0, Some(1));
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    owner
        .execute("COMMENT ON SCHEMA read_model_next IS 'made by dbt-api 0.0.9, migration 20261124000011'")
        .await
        .unwrap();
    let repaired = run_command(BINARY, &["rebuild", "--accept-differences"], &system);
    assert_eq!(repaired["events"]["applied"], all, "{repaired:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_waits_for_readers_and_the_new_tables_are_analyzed() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 20, 10).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(installation.service.stop().await, Some(0));
    let system = Arc::new(installation.system);
    let pool = pool_of(&system);
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM runs")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    let rebuild = tokio::task::spawn_blocking({
        let system = Arc::clone(&system);
        move || run_command(BINARY, &["rebuild"], &system)
    });
    // The swap lets others go first, and tries again.
    let mut waiting = None;
    for _ in 0..2 {
        waiting = Some(
            wait_until("the swap waits", async || {
                let query = "SELECT min(waitstart) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                let since: Option<chrono::DateTime<chrono::Utc>> =
                    sqlx::query_scalar(query).fetch_one(&pool).await.unwrap();
                since.filter(|_| since != waiting)
            })
            .await,
        );
    }
    reader.rollback().await.unwrap();
    let rebuilt = rebuild.await.unwrap();
    assert_eq!(rebuilt["in_place"], true, "{rebuilt:#}");
    let unknown: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'read_model'::regnamespace AND relkind = 'r' AND reltuples < 0",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
}
