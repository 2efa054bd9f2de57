//! Several processes that share one replay or rebuild, and batches beside single events.

use std::sync::Arc;

use clock::Clock;
use projector::{Projector, Selection};
use read_model::replay::lock_batch;
use schemas::Event;
use serde_json::{Value, json};
use sqlx::Connection;
use testkit::{System, run_command, wait_until};

use crate::history::{
    assert_same, begin_command, bucket_of, event_file, hold_placement, pool_of, stopped_with_files, visible_state,
    wait_for_waiters, write_history, write_upload,
};
use crate::installation::BINARY;
use crate::number;

/// So many events are applied at once.
const BATCH: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn batches_lead_to_the_same_state_as_single_events_in_each_table() {
    let (system, files) = stopped_with_files().await;
    let bucket = bucket_of(&system);
    let events = write_history(&bucket, &files, number("FAULTS_EVENTS", 1_500), 51).await;
    let projector = Projector::new(pool_of(&system), bucket, Clock::System);
    for event in &events {
        projector.apply(event).await.unwrap();
    }
    let before = visible_state(&pool_of(&system)).await;
    // It applies batches, and compares all columns of all tables.
    let rebuilt = run_command(BINARY, &["rebuild"], &system);
    assert_eq!(rebuilt["differences"], json!([]), "{rebuilt:#}");
    assert!(
        rebuilt["events"]["applied"].as_u64().unwrap() >= events.len() as u64,
        "{rebuilt}"
    );
    assert_same(&visible_state(&pool_of(&system)).await, &before);
}

/// Runs a command several times at once, and returns what each says.
async fn at_once(system: &Arc<System>, times: usize, arguments: &'static [&'static str]) -> Vec<Value> {
    let commands = (0..times).map(|_| {
        let system = Arc::clone(system);
        tokio::task::spawn_blocking(move || run_command(BINARY, arguments, &system))
    });
    let mut said = Vec::new();
    for command in commands.collect::<Vec<_>>() {
        said.push(command.await.unwrap());
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replays_at_once_apply_each_event_once() {
    let (system, files) = stopped_with_files().await;
    let system = Arc::new(system);
    let events = write_history(&bucket_of(&system), &files, 400, 52).await;
    let said = at_once(&system, 3, &["replay"]).await;
    let applied: u64 = said.iter().map(|said| said["applied"].as_u64().unwrap()).sum();
    assert_eq!(applied, events.len() as u64, "{said:?}");
    let pool = pool_of(&system);
    wait_until("the tables have statistics", async || {
        let analyzed = "SELECT count(*) FROM pg_stat_user_tables
            WHERE schemaname = 'read_model' AND relname IN ('artifacts', 'nodes', 'run_steps') AND last_analyze IS NOT NULL";
        let analyzed: i64 = sqlx::query_scalar(analyzed).fetch_one(&pool).await.unwrap();
        (analyzed == 3).then_some(())
    })
    .await;
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_another_replay_applies_is_not_read() {
    let (system, files) = stopped_with_files().await;
    let (bucket, pool) = (bucket_of(&system), pool_of(&system));
    let mut events: Vec<Event> = Vec::new();
    for number in 0..BATCH + 5 {
        let minutes = 4_000 - i64::try_from(number).unwrap();
        events.push(write_upload(&bucket, (1, 1), &format!("run-{number}"), minutes, &files[0]).await);
    }
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();

    // Another replay applies the first batch. Its events cannot be read meanwhile.
    let mut other = pool.begin().await.unwrap();
    assert!(lock_batch(&mut other, events[0].id).await.unwrap());
    let of_batch: Vec<_> = events[..BATCH]
        .iter()
        .map(|event| event_file(&system, event))
        .map(|file| (std::fs::read(&file).unwrap(), file))
        .collect();
    for (_, file) in &of_batch {
        std::fs::write(file, "{").unwrap();
    }
    let projector = Projector::new(pool.clone(), bucket, Clock::System);
    let from = Some(bucket::made_at(events[0].id).unwrap());
    let selection = Selection {
        from,
        ..Selection::default()
    };
    let replay = tokio::spawn(async move { projector.replay(&selection, false, &|_, _| {}).await });
    wait_until("the other batch is applied", async || {
        let applied = "SELECT count(*) FROM ledger";
        let applied: i64 = sqlx::query_scalar(applied).fetch_one(&pool).await.unwrap();
        (applied == known + 5).then_some(())
    })
    .await;
    for (content, file) in of_batch {
        std::fs::write(file, content).unwrap();
    }
    other.rollback().await.unwrap();
    let outcomes = replay.await.unwrap().unwrap();
    assert_eq!(
        (outcomes.applied, outcomes.unreadable),
        (events.len() as u64, 0),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_helps_a_rebuild() {
    let (system, files) = stopped_with_files().await;
    write_history(&bucket_of(&system), &files, 150, 53).await;
    run_command(BINARY, &["replay"], &system);
    let system = Arc::new(system);
    let pool = pool_of(&system);
    let before = visible_state(&pool).await;

    // Neither can finish before the other began.
    let held = hold_placement(&system, "read_model_next", 2).await;
    let rebuild = tokio::task::spawn_blocking({
        let system = Arc::clone(&system);
        move || run_command(BINARY, &["rebuild"], &system)
    });
    wait_for_waiters(&system).await;
    let helper = tokio::task::spawn_blocking({
        let system = Arc::clone(&system);
        move || run_command(BINARY, &["rebuild"], &system)
    });
    wait_until("the other process helps", async || {
        let joined = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted
            AND (classid::int8 << 32 | objid::int8) = hashtextextended('dbt-api rebuild helpers', 0)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let joined: i64 = sqlx::query_scalar(joined).fetch_one(&pool).await.unwrap();
        (joined == 1).then_some(())
    })
    .await;
    held.close().await.unwrap();
    let (rebuilt, helped) = (rebuild.await.unwrap(), helper.await.unwrap());
    assert_eq!(helped["joined"], true, "{helped}");
    assert_eq!(
        (&rebuilt["in_place"], &rebuilt["differences"]),
        (&json!(true), &json!([])),
        "{rebuilt:#}"
    );
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();
    let applied = |said: &Value| said["events"]["applied"].as_i64().unwrap();
    assert_eq!(applied(&rebuilt) + applied(&helped), known, "{rebuilt} {helped}");
    assert_same(&visible_state(&pool).await, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_recovery_continues_and_restores_the_same_ids() {
    let (mut system, files) = stopped_with_files().await;
    let bucket = bucket_of(&system);
    write_history(&bucket, &files, 60, 54).await;
    for number in 0..BATCH {
        let minutes = 400_000 - i64::try_from(number).unwrap();
        write_upload(&bucket, (1, 1), &format!("early-{number}"), minutes, &files[0]).await;
    }
    run_command(BINARY, &["replay"], &system);
    let before = visible_state(&pool_of(&system)).await;

    system.database = testkit::Database::create_empty().await;
    let held = hold_placement(&system, "read_model", 2).await;
    let recovery = begin_command(&system, &["recover"]);
    wait_for_waiters(&system).await;
    let pool = pool_of(&system);
    wait_until("some events are applied", async || {
        let done = sqlx::query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool).await;
        (done.unwrap_or(0_i64) > 0).then_some(())
    })
    .await;
    drop(recovery);
    held.close().await.unwrap();
    let recovered = run_command(BINARY, &["recover"], &system);
    assert_eq!(recovered["events"]["dead_letters"], 0, "{recovered}");
    assert_same(&visible_state(&pool).await, &before);
    let verified = run_command(BINARY, &["rebuild", "--verify"], &system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}
