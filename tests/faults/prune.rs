//! Retention.

use serde_json::{Value, json};
use testkit::{run_command, try_command, wait_until};

use crate::history::{assert_same, bucket_of, pool_of, stored_files, visible_state, write_history};
use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_stays_out_and_the_newest_stays_in() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 120, 41).await;
    run_command(BINARY, &["replay"], &installation.system);
    let token = installation.token("1", "read,upload", &[]);
    let runs = async || {
        let page = installation.get(&token, "/api/v2/accounts/1/runs/?limit=100").await.1;
        let ids = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["id"].as_i64().unwrap());
        ids.collect::<Vec<_>>()
    };
    let nodes = async || {
        installation
            .get(&token, "/api/v2/accounts/1/environments/1/nodes/?limit=100")
            .await
            .1["data"]
            .clone()
    };
    let (all, newest_nodes) = (runs().await, nodes().await);

    let (code, _, errors) = try_command(BINARY, &["prune", "--account", "1"], &installation.system);
    assert!(code == Some(2) && errors.contains("--older-than"), "{errors}");
    let planned = installation.command(&["prune", "--account", "1", "--older-than", "0d"]);
    assert_eq!(planned["removed"], false);
    assert_eq!(runs().await, all, "a dry run changes nothing");

    let done = installation.command(&["prune", "--account", "1", "--older-than", "0d", "--apply"]);
    assert_eq!(done["run_ids"], planned["run_ids"]);
    let removed: Vec<i64> = serde_json::from_value(done["run_ids"].clone()).unwrap();
    let left = runs().await;
    assert!(!left.is_empty() && !removed.is_empty());
    assert!(removed.iter().all(|id| !left.contains(id)), "{removed:?} {left:?}");
    assert_eq!(removed.len() + left.len(), all.len());
    assert_eq!(nodes().await, newest_nodes, "the newest manifest stays");
    let path = format!("/api/v2/accounts/1/runs/{}/", removed[0]);
    assert_eq!(installation.get(&token, &path).await.0, 404);
    let path = format!("/api/v2/accounts/1/runs/{}/artifacts/manifest.json", removed[0]);
    assert_eq!(installation.send(reqwest::Method::GET, &token, &path).await.0, 404);
    let again = installation.command(&["prune", "--account", "1", "--older-than", "0d", "--apply"]);
    assert_eq!(again["runs"], 0);

    // What other uploads bring is there as ever, also for a run that was pruned.
    installation.upload_manifest(&token, "later", newest_manifest()).await;
    wait_until("the later run is shown", async || {
        (runs().await.len() == left.len() + 1).then_some(())
    })
    .await;
    let state = visible_state(&pool_of(&installation.system)).await;
    let rebuilt = run_command(BINARY, &["rebuild"], &installation.system);
    assert_eq!(
        (&rebuilt["differences"], &rebuilt["in_place"]),
        (&json!([]), &Value::Bool(true)),
        "{rebuilt:#}"
    );
    assert_same(&visible_state(&pool_of(&installation.system)).await, &state);
    assert!(
        removed
            .iter()
            .all(|id| !state.iter().any(|row| row.contains(&format!("\"run_id\": {id},"))))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_per_job_and_a_repair_by_applying_again() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 80, 43).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    installation.command(&["prune", "--account", "2", "--keep", "2", "--apply"]);
    let most: i64 = sqlx::query_scalar(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM runs WHERE account_id = 2 GROUP BY job_id) counts",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // Those that hold the newest file of a kind stay beside the two.
    assert!((1..=7).contains(&most), "{most}");

    let whole = visible_state(&pool).await;
    sqlx::query("UPDATE node_results SET status = 'damaged' WHERE account_id = 1")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE manifests SET dbt_version = 'damaged' WHERE account_id = 1")
        .execute(&pool)
        .await
        .unwrap();
    let (code, _, errors) = try_command(BINARY, &["replay", "--again"], &installation.system);
    assert!(
        code == Some(1) && errors.contains("needs --account or --from"),
        "{errors}"
    );
    installation.command(&["replay", "--again", "--account", "1", "--type", "dbt."]);
    assert_same(&visible_state(&pool).await, &whole);
    let verified = run_command(BINARY, &["rebuild", "--verify"], &installation.system);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");

    let listed = installation.command(&["events", "list", "--account", "2", "--type", "retention."]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let shown = installation.command(&["events", "show", listed[0]["id"].as_str().unwrap()]);
    assert_eq!(shown["type"], "retention.pruned.v1");
    let environment = installation.command(&["events", "list", "--environment", "2", "--from", "30d", "--limit", "3"]);
    assert_eq!(environment.as_array().unwrap().len(), 3);
    assert!(
        environment
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["environment_id"] == 2)
    );
}
