//! Events that cannot be applied, temporarily or permanently.

use chrono::TimeDelta;
use clock::Clock;
use projector::{Outcome, Projector};
use schemas::{Event, UploadedFile};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use testkit::{System, run_command, try_command, wait_until};

use crate::history::{
    begin_command, bucket_of, event_file, hold_placement, pool_of, store_file, wait_for_waiters, write_upload,
};
use crate::installation::{BINARY, Installation, newest_manifest};

/// A system without a running service, and a manifest in its bucket.
pub(crate) async fn system_with_file() -> (System, UploadedFile) {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    assert_eq!(installation.service.stop().await, Some(0));
    run_command(BINARY, &["replay"], &installation.system);
    (installation.system, file)
}

/// From now on, PostgreSQL fails with these codes when the events are written to the ledger.
pub(crate) async fn refuse(system: &System, events: &[(&Event, &str)]) {
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    owner
        .execute(
            "CREATE TABLE public.refused (event_id uuid, code text);
             GRANT SELECT ON public.refused TO PUBLIC;
             CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE code text := (SELECT r.code FROM public.refused r WHERE r.event_id = NEW.event_id);
             BEGIN
                IF code IS NOT NULL THEN RAISE EXCEPTION 'refused' USING ERRCODE = code; END IF;
                RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON read_model.ledger FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await
        .unwrap();
    for (event, code) in events {
        sqlx::query("INSERT INTO public.refused VALUES ($1, $2)")
            .bind(event.id.0)
            .bind(code)
            .execute(&mut owner)
            .await
            .unwrap();
    }
}

pub(crate) async fn stop_refusing(system: &System) {
    let mut owner = PgConnection::connect_with(&system.database.options()).await.unwrap();
    owner.execute("TRUNCATE public.refused").await.unwrap();
}

pub(crate) fn letters(system: &System) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = run_command(BINARY, &["dead-letters", "list"], system);
    let letters = listed.as_array().unwrap().iter();
    letters
        .map(|letter| (text(&letter["event_id"]), text(&letter["cause"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_event_does_not_block_others_and_a_too_slow_one_becomes_a_dead_letter() {
    let (system, file) = system_with_file().await;
    let bucket = bucket_of(&system);
    let waits = write_upload(&bucket, (1, 1), "waits", 50, &file).await;
    let slow = write_upload(&bucket, (1, 1), "slow", 40, &file).await;
    write_upload(&bucket, (1, 1), "well", 30, &file).await;
    // The disk is full for the first event, and the second takes longer than a statement may.
    refuse(&system, &[(&waits, "53100"), (&slow, "57014")]).await;
    let projector = Projector::new(pool_of(&system), bucket, Clock::System);
    for sweep in 1..=5 {
        let left = projector
            .sweep_uploads(TimeDelta::days(1))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            left.starts_with(if sweep < 5 { "2 events" } else { "1 events" }),
            "{left}"
        );
        let applied: Vec<String> = sqlx::query_scalar("SELECT airflow_run_id FROM runs")
            .fetch_all(&pool_of(&system))
            .await
            .unwrap();
        assert_eq!(applied, ["well"]);
        let dead = letters(&system);
        assert_eq!(dead.len(), usize::from(sweep == 5), "{sweep}: {dead:?}");
    }
    assert_eq!(letters(&system)[0].0, slow.id.to_string());
    stop_refusing(&system).await;
    assert_eq!(projector.sweep_uploads(TimeDelta::days(1)).await.unwrap().applied, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_takes_long_is_not_mistaken_for_one_that_kills_its_projector() {
    let (system, file) = system_with_file().await;
    let bucket = bucket_of(&system);
    let event = write_upload(&bucket, (1, 1), "run", 50, &file).await;
    let held = hold_placement(&system, "read_model", 1).await;
    let projector = Projector::new(pool_of(&system), bucket.clone(), Clock::System);
    let work = tokio::spawn({
        let (projector, event) = (projector.clone(), event.clone());
        async move { projector.apply(&event).await }
    });
    wait_for_waiters(&system).await;
    // Other projectors find the event again and again.
    for _ in 0..6 {
        let other = Projector::new(pool_of(&system), bucket.clone(), Clock::System);
        assert_eq!(other.apply(&event).await.unwrap(), Outcome::Busy);
        assert_eq!(other.sweep_uploads(TimeDelta::days(1)).await.unwrap().busy, 1);
    }
    held.close().await.unwrap();
    assert_eq!(work.await.unwrap().unwrap(), Outcome::Applied);
    assert_eq!(projector.apply(&event).await.unwrap(), Outcome::Known);
    assert_eq!(letters(&system), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_whose_lock_is_held_does_not_keep_others_waiting() {
    let (system, file) = system_with_file().await;
    let to = ["environment", "add", "--account", "1", "--project", "1"];
    let staging = [&to[..], &["--name", "Staging", "--slug", "staging"]].concat();
    let staging = run_command(BINARY, &staging, &system)["id"].as_i64().unwrap();
    let bucket = bucket_of(&system);
    let mut events = vec![write_upload(&bucket, (1, 1), "waits", 60, &file).await];
    for number in 0..7 {
        events.push(write_upload(&bucket, (1, staging), &format!("run-{number}"), 50, &file).await);
    }
    let held = hold_placement(&system, "read_model", 1).await;
    let projector = Projector::new(pool_of(&system), bucket, Clock::System);
    let work = tokio::spawn({
        let events = events.clone();
        async move { projector.apply_all(&events).await }
    });
    let others: Vec<uuid::Uuid> = events[1..].iter().map(|event| event.id.0).collect();
    wait_until("the others are applied", async || {
        let applied = sqlx::query_scalar("SELECT count(*) FROM ledger WHERE event_id = ANY($1)").bind(&others);
        let applied: i64 = applied.fetch_one(&pool_of(&system)).await.unwrap();
        (applied == 7).then_some(())
    })
    .await;
    held.close().await.unwrap();
    for result in work.await.unwrap() {
        assert_eq!(result.unwrap(), Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_another_process_applies_is_swept_if_that_process_dies() {
    let (system, file) = system_with_file().await;
    let bucket = bucket_of(&system);
    // Older than what a sweep reads before the end of the last one.
    write_upload(&bucket, (1, 1), "run", 600, &file).await;
    sqlx::query("DELETE FROM watermark")
        .execute(&pool_of(&system))
        .await
        .unwrap();
    let held = hold_placement(&system, "read_model", 1).await;
    let dying = begin_command(&system, &["replay"]);
    wait_for_waiters(&system).await;
    let projector = Projector::new(pool_of(&system), bucket, Clock::System);
    assert_eq!(projector.sweep_uploads(TimeDelta::hours(1)).await.unwrap().busy, 1);
    drop(dying);
    held.close().await.unwrap();
    wait_until("the sweep applies it", async || {
        let swept = projector.sweep_uploads(TimeDelta::hours(1)).await.unwrap();
        (swept.applied == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_remains_until_its_event_is_applied() {
    let (system, file) = system_with_file().await;
    let bucket = bucket_of(&system);
    let unreadable = write_upload(&bucket, (1, 1), "unreadable", 60, &file).await;
    let event = write_upload(&bucket, (1, 1), "run", 50, &file).await;
    refuse(&system, &[(&unreadable, "P0001"), (&event, "P0001")]).await;
    assert_eq!(try_command(BINARY, &["replay"], &system).0, Some(1));
    assert_eq!(letters(&system).len(), 2);
    std::fs::write(event_file(&system, &unreadable), "{").unwrap();

    // Until the cause is fixed, the retry fails and reports why.
    let id = event.id.to_string();
    let (code, output, errors) = try_command(BINARY, &["dead-letters", "retry", &id], &system);
    assert!(
        code == Some(1) && output.contains("\"dead_again\": 1"),
        "{output}{errors}"
    );
    stop_refusing(&system).await;
    let held = hold_placement(&system, "read_model", 1).await;
    let dying = begin_command(&system, &["dead-letters", "retry", &id]);
    wait_for_waiters(&system).await;
    drop(dying);
    assert_eq!(letters(&system).len(), 2, "the retrying process died");
    held.close().await.unwrap();
    wait_until("its connections are closed", async || {
        let others =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbt-api'";
        let others: i64 = sqlx::query_scalar(others).fetch_one(&pool_of(&system)).await.unwrap();
        (others == 0).then_some(())
    })
    .await;

    let (code, output, errors) = try_command(BINARY, &["dead-letters", "retry", "--all"], &system);
    let outcome: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        outcome,
        json!({"applied": 1, "dead_again": 0, "not_tried": 1}),
        "{errors}"
    );
    assert!(
        code == Some(1) && errors.contains(&unreadable.id.to_string()),
        "{errors}"
    );
    assert_eq!(letters(&system).len(), 1);
    let runs: Vec<String> = sqlx::query_scalar("SELECT airflow_run_id FROM runs")
        .fetch_all(&pool_of(&system))
        .await
        .unwrap();
    assert_eq!(runs, ["run"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_dead_letter_stays_dropped_after_a_rebuild() {
    let (system, file) = system_with_file().await;
    let event = write_upload(&bucket_of(&system), (1, 1), "run", 50, &file).await;
    refuse(&system, &[(&event, "P0001")]).await;
    assert_eq!(try_command(BINARY, &["replay"], &system).0, Some(1));
    run_command(BINARY, &["dead-letters", "drop", &event.id.to_string()], &system);
    let rebuilt = run_command(BINARY, &["rebuild"], &system);
    assert_eq!(
        (&rebuilt["in_place"], &rebuilt["differences"]),
        (&json!(true), &json!([])),
        "{rebuilt:#}"
    );
    assert_eq!(letters(&system), []);
    run_command(BINARY, &["replay"], &system);
    let runs: i64 = sqlx::query_scalar("SELECT count(*) FROM runs")
        .fetch_one(&pool_of(&system))
        .await
        .unwrap();
    assert_eq!(runs, 0);
}
