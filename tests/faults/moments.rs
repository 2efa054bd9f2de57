//! Processes end at a certain moment: while numbers are claimed but not recorded, after an event was applied but before NATS knows it, and in
//! the middle of a sweep.

use std::process::Command;

use sqlx::{Connection, Executor, PgPool};
use testkit::{Gate, Passage, Service, wait_until};

use crate::claims::claims;
use crate::history::{bucket_of, hold_placement, hold_segments, pool_of, store_file, wait_for_waiters, write_upload};
use crate::installation::{BINARY, Installation, newest_manifest, prepared};

/// Returns the number of this run, how many numbers there are, and how many files of uploads it has.
async fn shown(pool: &PgPool, run: &str) -> Option<(i64, i64, i64)> {
    sqlx::query_as(
        "SELECT r.id, (SELECT count(*) FROM ids.runs), count(a.event_id) FROM runs r JOIN artifacts a ON a.run_id = r.id
         WHERE r.airflow_run_id = $1 GROUP BY r.id",
    )
    .bind(run)
    .fetch_optional(pool)
    .await
    .unwrap()
}

async fn wait_for_run(pool: &PgPool, run: &str) -> (i64, i64, i64) {
    wait_until("the upload is shown", async || shown(pool, run).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_between_claim_and_commit_uses_no_second_number() {
    let installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let pool = pool_of(&installation.system);
    let projector = Service::start(BINARY, "projector", &installation.system).await;
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    assert_eq!(wait_for_run(&pool, "first").await, (1, 1, 1));

    let mut owner = hold_segments(&installation.system).await;
    installation.upload_manifest(&token, "second", newest_manifest()).await;
    wait_until("the number is claimed", async || {
        (claims(installation.system.storage()).len() == 2).then_some(())
    })
    .await;
    projector.kill();
    owner.execute("ROLLBACK").await.unwrap();
    assert_eq!(shown(&pool, "second").await, None);

    let _projector = Service::start(BINARY, "projector", &installation.system).await;
    assert_eq!(wait_for_run(&pool, "second").await, (2, 2, 1));
    installation.upload_manifest(&token, "third", newest_manifest()).await;
    assert_eq!(wait_for_run(&pool, "third").await, (3, 3, 1));
    assert_eq!(claims(installation.system.storage()).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_between_commit_and_acknowledgement_applies_nothing_twice() {
    let mut system = prepared().await;
    let gate = Gate::before(system.nats.address()).await;
    let direct = system.nats.url();
    let through = format!("nats://{}", gate.address);
    system.variables.push(("NATS_URL".to_owned(), through));
    let projector = Service::start(BINARY, "projector", &system).await;
    system.variables.push(("NATS_URL".to_owned(), direct));
    let installation = Installation::of(system, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let pool = pool_of(&installation.system);
    installation.upload_manifest(&token, "first", newest_manifest()).await;
    wait_for_run(&pool, "first").await;

    let held = hold_placement(&installation.system, "read_model", 1).await;
    installation.upload_manifest(&token, "second", newest_manifest()).await;
    wait_for_waiters(&installation.system).await;
    // The event is applied, but the acknowledgement does not reach NATS.
    gate.set(Passage::Silent);
    held.close().await.unwrap();
    assert_eq!(wait_for_run(&pool, "second").await, (2, 2, 1));
    projector.kill();

    let _projector = Service::start(BINARY, "projector", &installation.system).await;
    installation.upload_manifest(&token, "third", newest_manifest()).await;
    assert_eq!(wait_for_run(&pool, "third").await, (3, 3, 1));
    assert_eq!(shown(&pool, "second").await, Some((2, 3, 1)));
    assert_eq!(installation.count("SELECT count(*) FROM attempts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finishes_its_batch_at_the_shutdown() {
    let mut installation = Installation::of(prepared().await, "ingest").await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    // Only the sweep finds the upload.
    installation.system.nats.stop();
    write_upload(&bucket_of(&installation.system), (1, 1), "swept", 90, &file).await;
    let pool = pool_of(&installation.system);
    let held = hold_placement(&installation.system, "read_model", 1).await;
    let mut projector = Service::start(BINARY, "projector", &installation.system).await;
    wait_for_waiters(&installation.system).await;
    let pid = projector.process_id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    wait_until("the signal is received", async || {
        let log = projector.log();
        log.iter().any(|line| line.contains("finishing work")).then_some(())
    })
    .await;
    held.close().await.unwrap();
    wait_until("the projector ends", async || projector.has_ended().then_some(())).await;
    assert_eq!(shown(&pool, "swept").await, Some((1, 1, 1)));
    assert_eq!(installation.count("SELECT count(*) FROM attempts").await, 0);
}
