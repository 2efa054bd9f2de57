//! After the loss of everything but the bucket, or of the newest part of the database.

use serde_json::json;
use testkit::{Database, run_command};

use crate::history::{assert_same, bucket_of, pool_of, stored_files, visible_state, write_history};
use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn all_comes_back_from_the_bucket_alone() {
    let mut installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 200, 21).await;
    run_command(BINARY, &["replay"], &installation.system);
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

    // It goes on: the token reads and uploads, the deleted one does not.
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
async fn a_database_restored_from_an_older_backup_gets_the_same_numbers_again() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    write_history(&bucket, &files, 150, 31).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(installation.service.stop().await, Some(0));
    let mut system = installation.system;
    let backup = system.database.copy().await;

    let installation = Installation::of(system, "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    write_history(&bucket, &files, 150, 32).await;
    run_command(BINARY, &["replay"], &installation.system);
    let before = visible_state(&pool_of(&installation.system)).await;
    assert_eq!(installation.service.stop().await, Some(0));

    system = installation.system;
    system.database = backup;
    // In an order of its own: the newest first, as live events come before what the sweep finds.
    let newest = ["replay", "--from", "2d"];
    run_command(BINARY, &newest, &system);
    run_command(BINARY, &["replay"], &system);
    assert_same(&visible_state(&pool_of(&system)).await, &before);
    let installation = Installation::of(system, "serve").await;
    assert_eq!(installation.get(&token, "/api/v2/accounts/1/runs/").await.0, 200);
}
