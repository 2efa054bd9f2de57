//! Tests of retention.

use std::collections::BTreeSet;
use std::time::Instant;

use schemas::UploadedFile;
use serde_json::{Value, json};
use sqlx::{Executor, PgPool};
use testkit::{run_command, try_command, wait_until};

use crate::history::{assert_same, bucket_of, pool_of, stored_files, visible_state, write_history, write_upload};
use crate::installation::{BINARY, Installation, newest_manifest};

#[tokio::test(flavor = "multi_thread")]
async fn pruned_runs_stay_removed_and_the_newest_remain() {
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

    // Data of other uploads still appears, even for a run that was pruned.
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
async fn runs_are_pruned_by_count_per_job_and_repaired_by_applying_again() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    write_history(&bucket_of(&installation.system), &files, 80, 43).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    let expected = runs_that_stay(&pool, 2, 2).await;
    installation.command(&["prune", "--account", "2", "--keep", "2", "--apply"]);
    let left: Vec<i64> = sqlx::query_scalar("SELECT id FROM runs WHERE account_id = 2 ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    // More runs may remain: those from which the present state of a node comes.
    assert!(expected.iter().all(|run| left.contains(run)), "{expected:?} {left:?}");

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

/// Returns the newest `keep` runs of each job, the runs that hold the newest file of a kind, and the runs that share an upload with one of
/// these, or with a file without a run that is the newest of its kind.
async fn runs_that_stay(pool: &PgPool, account: i64, keep: i64) -> BTreeSet<i64> {
    let kept: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY job_id ORDER BY created_at DESC, id DESC) AS place
            FROM runs WHERE account_id = $1) ranked WHERE place <= $2
         UNION (SELECT DISTINCT ON (environment_id, kind) run_id FROM artifacts WHERE account_id = $1 AND run_id IS NOT NULL
            ORDER BY environment_id, kind, event_time DESC, event_id DESC, place DESC)
         UNION SELECT a.run_id FROM artifacts a JOIN artifacts b USING (event_id)
            WHERE a.account_id = $1 AND a.run_id IS NOT NULL AND b.run_id IS NULL AND NOT EXISTS (
                SELECT FROM artifacts n WHERE n.environment_id = b.environment_id AND n.kind = b.kind
                    AND (n.event_time, n.event_id, n.place) > (b.event_time, b.event_id, b.place))",
    )
    .bind(account)
    .bind(keep)
    .fetch_all(pool)
    .await
    .unwrap();
    let shared: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT DISTINCT a.run_id, b.run_id FROM artifacts a JOIN artifacts b USING (event_id)
         WHERE a.account_id = $1 AND a.run_id <> b.run_id",
    )
    .bind(account)
    .fetch_all(pool)
    .await
    .unwrap();
    let mut kept: BTreeSet<i64> = kept.into_iter().collect();
    loop {
        let more = shared
            .iter()
            .filter(|(run, _)| kept.contains(run))
            .map(|(_, other)| *other);
        let all: BTreeSet<i64> = kept.iter().copied().chain(more).collect();
        if all == kept {
            return kept;
        }
        kept = all;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_a_large_account_stays_within_the_statement_timeout() {
    let installation = Installation::start().await;
    let files = stored_files(&installation).await;
    let bucket = bucket_of(&installation.system);
    run_command(BINARY, &["replay"], &installation.system);
    // No other upload has the first manifest, so what was read from it is removed with it.
    sqlx::query("DELETE FROM artifacts")
        .execute(&pool_of(&installation.system))
        .await
        .unwrap();
    let undated = |file: &UploadedFile| UploadedFile {
        generated_at: None,
        ..file.clone()
    };
    write_upload(&bucket, (1, 1), "old", 60, &undated(&files[0])).await;
    write_upload(&bucket, (1, 1), "new", 30, &undated(&files[1])).await;
    run_command(BINARY, &["replay"], &installation.system);
    let pool = pool_of(&installation.system);
    // As on a small server, where the ids of 30,000 nodes do not fit into memory.
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&pool)
        .await
        .unwrap();
    let mut owner = sqlx::postgres::PgPoolOptions::new()
        .connect_lazy_with(installation.system.database.options())
        .acquire()
        .await
        .unwrap();
    owner
        .execute(sqlx::AssertSqlSafe(format!(
            "ALTER DATABASE {database} SET work_mem = '64kB'"
        )))
        .await
        .unwrap();
    owner
        .execute(
            "INSERT INTO read_model.nodes (account_id, format, hash, unique_id, resource_type, doc)
             SELECT 1, 2, sha256(n::text::bytea), n, 'model', '' FROM generate_series(1, 30000) n;
             INSERT INTO read_model.node_sets (account_id, hash, resource_type, node_ids)
             SELECT 1, sha256((id / 20)::text::bytea), 'model', array_agg(id) FROM read_model.nodes WHERE account_id = 1 GROUP BY 2;
             INSERT INTO read_model.manifests (account_id, sha256, node_set)
             SELECT DISTINCT 1, sha256((id / 20)::text::bytea), sha256((id / 20)::text::bytea) FROM read_model.nodes;
             ANALYZE read_model.nodes, read_model.node_sets",
        )
        .await
        .unwrap();
    let begun = Instant::now();
    let pruned = installation.command(&["prune", "--account", "1", "--older-than", "0d", "--apply"]);
    assert_eq!(pruned["runs"], 1, "{pruned}");
    let old: i64 = sqlx::query_scalar("SELECT count(*) FROM manifests WHERE account_id = 1 AND sha256 = $1")
        .bind(files[0].sha256.0.as_slice())
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(old, 0);
    // Comparing each node with each id would take minutes.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
