//! Tables that are partitioned by account.

use testkit::System;

use crate::installation::{Installation, newest_manifest, prepare};

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_partitioned_tables() {
    let system = System::start().await;
    system.database.partition().await;
    // What is partitioned already is left as it is.
    system.database.partition().await;
    let installation = Installation::of(prepare(system), "serve").await;
    for account in ["1", "2"] {
        let token = installation.token(account, "read,upload", &[]);
        for (number, run) in (1..).zip(["first", "second"]) {
            installation.upload_manifest(&token, run, newest_manifest()).await;
            installation.run_with_total(&token, account, number).await;
        }
    }
    let in_partitions = "SELECT count(*) FROM read_model.runs WHERE tableoid <> 'read_model.runs'::regclass";
    assert_eq!(installation.count(in_partitions).await, 4);
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'read_model.runs'::regclass";
    assert_eq!(installation.count(partitions).await, 4);
    let verified = installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], serde_json::json!([]), "{verified}");
    let prune = ["prune", "--account", "1", "--keep", "1", "--apply"];
    assert_eq!(installation.command(&prune)["runs"], 1);
    assert_eq!(installation.command(&["rebuild"])["in_place"], true);
    // Account 2 kept both, in as many partitions as before.
    assert_eq!(installation.count(in_partitions).await, 3);
    assert_eq!(installation.count(partitions).await, 4);
    let token = installation.token("1", "read", &[]);
    installation.run_with_total(&token, "1", 1).await;
}
