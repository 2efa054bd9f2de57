//! Uploads that are applied again to repair what was read from them.

use serde_json::{Value, json};
use testkit::{run_command, try_command};

use crate::history::{
    assert_same, bucket_of, pool_of, store_file, stored_files, visible_state, write_prune, write_upload,
};
use crate::installation::{BINARY, Installation, newest_manifest};

/// Returns run results of one model.
fn results(status: &str, completed_at: &str) -> Vec<u8> {
    let result = json!({
        "unique_id": "model.shop.orders", "status": status, "thread_id": "Thread-1", "execution_time": 1.0,
        "adapter_response": {}, "message": null, "failures": null,
        "timing": [{"name": "execute", "started_at": completed_at, "completed_at": completed_at}],
    });
    let file = json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.10.0",
            "generated_at": completed_at, "invocation_id": format!("invocation-{status}"), "env": {},
        },
        "results": [result], "elapsed_time": 1.0, "args": {"which": "build"},
    });
    file.to_string().into_bytes()
}

fn assert_consistent(installation: &Installation) {
    let verified = run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_a_pruned_upload_again_does_not_affect_kept_ones() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    let mut pruned = Vec::new();
    for file in &files {
        pruned.push(write_upload(&bucket, (1, 1), "old", 60, file).await.id);
        write_upload(&bucket, (1, 1), "new", 10, file).await;
    }
    write_prune(&bucket, 1, pruned).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    let before = visible_state(&pool).await;
    let again = ["replay", "--again", "--account", "1", "--type", "dbt.", "--to", "30m"];
    let applied = run_command(BINARY, &again, &installation.system);
    assert_eq!(applied["applied"], files.len(), "{applied}");
    assert_same(&visible_state(&pool).await, &before);
    assert_consistent(&installation);
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_an_upload_again_keeps_shared_results_correct() {
    let installation = Installation::start().await;
    let other = installation.add_environment("other");
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, results("error", "2026-11-01T10:00:00Z")).await;
    let bucket = bucket_of(&installation.system);
    write_upload(&bucket, (1, 1), "first", 60, &file).await;
    write_upload(&bucket, (1, 1), "second", 10, &file).await;
    write_upload(&bucket, (1, other), "third", 10, &file).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    let before = visible_state(&pool).await;
    for damage in [
        "UPDATE result_files SET which = 'damaged', failed = false WHERE environment_id = 1",
        "UPDATE node_results SET failure = 0 WHERE environment_id = 1",
        "UPDATE run_steps SET which = 'damaged', status = 10 WHERE environment_id = 1",
        "UPDATE runs SET status = 10 WHERE environment_id = 1",
    ] {
        assert!(
            sqlx::query(damage).execute(&pool).await.unwrap().rows_affected() > 0,
            "{damage}"
        );
    }
    let again = ["replay", "--again", "--account", "1", "--type", "dbt.", "--to", "30m"];
    assert_eq!(run_command(BINARY, &again, &installation.system)["applied"], 1);
    assert_same(&visible_state(&pool).await, &before);
    assert_consistent(&installation);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_turn_out_to_be_older_change_the_runs_that_have_them() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let bucket = bucket_of(&installation.system);
    let now = clock::Clock::System.now();
    let time = |minutes| (now - chrono::TimeDelta::minutes(minutes)).to_rfc3339();
    // The clock of this upload was ahead, so its time counts from when it was first uploaded.
    let failed = store_file(&installation, &token, results("error", "2099-01-01T00:00:00Z")).await;
    let passed = store_file(&installation, &token, results("success", &time(35))).await;
    let status = async || {
        let status = "SELECT status::int FROM runs WHERE airflow_run_id = 'run'";
        sqlx::query_scalar::<_, i32>(status)
            .fetch_one(&pool_of(&installation.system))
            .await
            .unwrap()
    };
    write_upload(&bucket, (1, 1), "run", 20, &failed).await;
    write_upload(&bucket, (1, 1), "run", 30, &passed).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(status().await, 20);
    write_upload(&bucket, (1, 1), "earlier run", 40, &failed).await;
    run_command(BINARY, &["replay"], &installation.system);
    assert_eq!(status().await, 10, "the failure came before the success");
    assert_consistent(&installation);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_read_again_is_reported_and_keeps_its_result() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let file = store_file(&installation, &token, newest_manifest()).await;
    let bucket = bucket_of(&installation.system);
    let event = write_upload(&bucket, (1, 1), "run", 60, &file).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    let before = visible_state(&pool).await;
    let folder = installation.system.storage().join("artifacts/1/sha256");
    let hash = file.sha256.to_string();
    std::fs::write(folder.join(&hash[..2]).join(format!("{hash}.zst")), "damaged").unwrap();
    let again = ["replay", "--again", "--account", "1", "--to", "30m"];
    let (code, output, errors) = try_command(BINARY, &again, &installation.system);
    let outcomes: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &outcomes["rejected"]), (Some(1), &json!(1)), "{output}{errors}");
    assert!(
        errors.contains(&event.id.to_string()) && errors.contains(&hash) && errors.contains("the earlier result stays"),
        "{errors}"
    );
    assert_same(&visible_state(&pool).await, &before);
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
}
