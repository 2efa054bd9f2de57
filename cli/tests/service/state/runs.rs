//! The status of runs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{A, B, Environment, build, manifest, results, time};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_outside_nodes_is_repaired_only_by_the_same_command() {
    let mut environment = Environment::start().await;
    environment
        .send("r1", &manifest(1, &[(A, json!({})), (B, json!({}))]))
        .await;
    environment
        .send("r1", &build(2, &[(A, "success"), (B, "success")]))
        .await;
    let docs = |minute, select: &str, status: &str| {
        results(minute, json!({"which": "generate", "select": [select]}), &[(A, status)])
    };
    let operation = |minute, arguments: Value, status: &str| {
        let args = json!({"which": "run-operation", "macro": "grant", "args": arguments});
        results(minute, args, &[("macro.shop.grant", status)])
    };
    let with = |minute, day: &str, target: &str, status: &str| {
        let args =
            json!({"which": "compile", "vars": {"day": day}, "target": target, "state": format!("/tmp/{minute}")});
        results(minute, args, &[(A, status)])
    };
    // As dbt 1.6 writes it.
    let retry = |minute, status: &str| {
        let args = json!({"which": "retry", "invocation_command": "dbt retry"});
        results(minute, args, &[("macro.shop.grant", status)])
    };
    let expected = [
        (docs(3, "a", "error"), 20),
        (docs(4, "b", "success"), 20),
        (docs(5, "a", "success"), 10),
        (operation(6, json!({"to": "x"}), "error"), 20),
        (operation(7, json!({"to": "y"}), "success"), 20),
        (build(8, &[(A, "success"), (B, "success")]), 20),
        (operation(9, json!({"to": "x"}), "success"), 10),
        (with(10, "monday", "prod", "error"), 20),
        (with(11, "monday", "dev", "success"), 20),
        (with(12, "tuesday", "prod", "success"), 20),
        (with(13, "monday", "prod", "success"), 10),
        (operation(14, json!({"to": "x"}), "error"), 20),
        (retry(15, "error"), 20),
        (retry(16, "success"), 10),
        (operation(17, json!({"to": "x"}), "error"), 20),
        (docs(18, "a", "success"), 20),
        (retry(19, "success"), 20), // of the docs
        (operation(20, json!({"to": "x"}), "success"), 10),
    ];
    for (file, status) in expected {
        environment.send("r1", &file).await;
        assert_eq!(environment.statuses().await, [status], "{file}");
        // However the docs end, the tables have been built.
        assert_eq!(environment.deferral("").await, [A, B]);
    }
    let run = environment.run("r1").await["id"].clone();
    // Results of a build are kept, although docs and operations followed.
    let (_, file) = environment
        .installation
        .send(
            Method::GET,
            &environment.token,
            &format!("/api/v2/accounts/1/runs/{run}/artifacts/run_results.json"),
        )
        .await;
    let file: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(
        (&file["args"]["which"], &file["metadata"]["invocation_id"]),
        (&json!("build"), &json!("shop-8"))
    );
    let path = format!("/api/v2/accounts/1/runs/{run}/artifacts/manifest.json?step=4");
    let (status, _) = environment
        .installation
        .send(Method::GET, &environment.token, &path)
        .await;
    assert_eq!(
        status,
        StatusCode::OK,
        "the step has no manifest, but an earlier one has"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_with_errors_is_repaired_by_a_later_catalog() {
    let mut environment = Environment::start().await;
    let catalog = |minute: u32, errors: Value| {
        json!({
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "dbt_version": "1.12.6",
                "generated_at": time(minute), "invocation_id": format!("shop-{minute}"),
            },
            "nodes": {}, "sources": {}, "errors": errors,
        })
    };
    environment.send("r1", &catalog(1, json!(["no grant"]))).await;
    assert_eq!(environment.statuses().await, [20]);
    environment.send("r1", &build(2, &[(A, "success")])).await;
    assert_eq!(environment.statuses().await, [20], "a build is not a catalog");
    environment.send("r1", &catalog(3, json!(["no grant"]))).await;
    environment.send("r1", &catalog(4, Value::Null)).await;
    assert_eq!(environment.statuses().await, [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_hook_is_repaired_when_all_nodes_it_blocked_are_done() {
    let mut environment = Environment::start().await;
    let hook = "operation.shop.shop-on-run-start-0";
    let select =
        |minute, names: &[&str], of: &[(&str, &str)]| results(minute, json!({"which": "run", "select": names}), of);
    environment
        .send("r1", &manifest(1, &[(A, json!({})), (B, json!({}))]))
        .await;
    let failed = select(2, &["a", "b"], &[(hook, "error"), (A, "skipped"), (B, "skipped")]);
    environment.send("r1", &failed).await;
    assert_eq!(environment.statuses().await, [20]);
    assert_eq!(environment.node(A).await["last_result"]["status"], "skipped");
    environment
        .send("r1", &select(3, &["a", "b"], &[(hook, "success"), (A, "success")]))
        .await;
    assert_eq!(environment.statuses().await, [20], "one node has not been built yet");
    environment
        .send(
            "r1",
            &select(4, &["a", "b"], &[(hook, "success"), (A, "success"), (B, "success")]),
        )
        .await;
    assert_eq!(environment.statuses().await, [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_results_in_two_runs_count_as_an_attempt_of_the_first() {
    let mut environment = Environment::start().await;
    environment.send("r1", &manifest(1, &[(A, json!({}))])).await;
    let file = build(2, &[(A, "error")]);
    environment.send("r1", &file).await;
    environment.send("r2", &manifest(3, &[(A, json!({}))])).await;
    environment.send("r2", &file).await;
    let (first, second) = (environment.run("r1").await, environment.run("r2").await);
    assert_eq!((&first["status"], &second["status"]), (&json!(20), &json!(20)));
    assert_eq!(environment.node(A).await["last_result"]["run_id"], first["id"]);
    let of_second = environment.get(&format!("runs/{}/nodes/{A}/", second["id"])).await;
    assert_eq!(
        of_second["last_result"]["run_id"], second["id"],
        "it is a step of both runs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_freshness_are_not_steps_of_a_job() {
    let mut environment = Environment::start().await;
    environment.send("r1", &build(1, &[(A, "success")])).await;
    let job = environment.get("jobs/1/").await;
    assert_eq!(job["execute_steps"], json!(["dbt build"]));
    assert_eq!(job["run_generate_sources"], false);
    // dbt 2 writes run results of the command, without results, if a check itself fails.
    let checks = [
        json!({
            "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json", "generated_at": time(3),
                "invocation_id": "sources"},
            "results": [], "elapsed_time": 0.0,
        }),
        results(3, json!({"which": "freshness"}), &[]),
    ];
    for (run, check) in ["r2", "r3"].into_iter().zip(&checks) {
        environment.send(run, &build(2, &[(A, "success")])).await;
        environment.send(run, check).await;
        let path = "runs/?include_related=run_steps,job&order_by=-id&limit=1";
        let answer = environment.get(path).await;
        assert_eq!(
            answer[0]["run_steps"][1]["name"],
            "Invoke dbt with `dbt source freshness`"
        );
        assert_eq!(answer[0]["job"]["execute_steps"], json!(["dbt build"]), "{run}");
        assert_eq!(answer[0]["job"]["run_generate_sources"], true, "{run}");
    }
}
