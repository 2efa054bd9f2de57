//! What is shown of a node.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::repository_file;

use super::{A, B, Environment, build, manifest, results, time};
use crate::installation::SLUG;

#[tokio::test(flavor = "multi_thread")]
async fn late_uploads_do_not_replace_newer_state() {
    let mut environment = Environment::start().await;
    let new = [
        (A, json!({"compiled_code": "new"})),
        (B, json!({"depends_on": {"nodes": [A]}})),
    ];
    environment.send("r2", &manifest(20, &new)).await;
    environment
        .send("r2", &build(20, &[(A, "success"), (B, "success")]))
        .await;
    // The history has all attempts, whenever they arrive.
    let state = |mut node: Value| {
        node.as_object_mut().unwrap().remove("history").unwrap();
        node
    };
    let before = state(environment.node(A).await);
    let old = manifest(
        10,
        &[
            (A, json!({"compiled_code": "old"})),
            ("model.shop.gone", json!({"compiled_code": "x"})),
        ],
    );
    environment.send("r1", &old).await;
    environment
        .send("r1", &build(10, &[(A, "error"), ("model.shop.gone", "error")]))
        .await;
    assert_eq!(state(environment.node(A).await), before);
    assert_eq!(environment.deferral("").await, [A, B]);
    let lineage = environment.get(&format!("environments/1/lineage/?unique_id={A}")).await;
    assert_eq!(lineage["nodes"].as_array().unwrap().len(), 2, "{lineage}");
    let nodes = environment.get("environments/1/nodes/").await;
    assert_eq!(nodes.as_array().unwrap().len(), 2, "{nodes}");
    assert_eq!(environment.run("r1").await["status"], 20);
    let log = environment.installation.service.log().join("\n");
    assert!(
        log.contains("a manifest is older than the newest by its own clock"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_upload_gives_way_to_any_newer_set_that_has_the_node() {
    let mut environment = Environment::start().await;
    let code =
        |minute, node: &str, code: &str| manifest(minute, &[(A, json!({})), (node, json!({"compiled_code": code}))]);
    environment.send("r1", &code(1, A, "first")).await;
    environment.send("r3", &code(30, A, "third")).await;
    // The newest manifest has no code of the node, but the one before it has.
    environment.send("r4", &code(40, B, "other")).await;
    environment.send("r2", &code(20, A, "second")).await;
    assert_eq!(environment.node(A).await["compiled_code"], "third");
    // The node had no newer code than this one at its time.
    environment.send("r5", &code(35, "model.shop.c", "late")).await;
    assert_eq!(environment.node(A).await["compiled_code"], "third");
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_empty_and_retried_builds_count_as_attempts() {
    let mut environment = Environment::start().await;
    environment
        .send("r1", &manifest(1, &[(A, json!({})), (B, json!({}))]))
        .await;
    environment
        .send("r1", &build(2, &[(A, "success"), (B, "success")]))
        .await;
    let empty = results(3, json!({"which": "build", "empty": true}), &[(A, "success")]);
    environment.send("r2", &empty).await;
    let node = environment.node(A).await;
    assert_eq!(
        (&node["last_result"]["is_limited"], &node["last_result"]["status"]),
        (&json!(true), &json!("success"))
    );
    assert_eq!(node["last_success"]["completed_at"], "2026-11-24T09:02:00.000000+00:00");
    environment
        .send(
            "r3",
            &build(4, &[(A, "error"), (B, "skipped"), ("exposure.shop.e", "no-op")]),
        )
        .await;
    let retry = results(
        5,
        json!({"which": "build", "invocation_command": "dbt retry"}),
        &[(A, "success"), (B, "reused")],
    );
    environment.send("r4", &retry).await;
    assert_eq!(environment.run("r3").await["status"], 20);
    assert_eq!(
        environment.run("r4").await["status"],
        10,
        "it is another run of the DAG"
    );
    let node = environment.node(B).await;
    assert_eq!(
        (&node["last_result"]["status"], &node["last_success"]["status"]),
        (&json!("reused"), &json!("success"))
    );
    let run = environment.run("r3").await["id"].clone();
    let listed = environment.get(&format!("runs/{run}/results/")).await;
    let listed: Vec<(&str, &str)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            (
                result["unique_id"].as_str().unwrap(),
                result["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(listed, [(A, "error"), (B, "skipped"), ("exposure.shop.e", "no-op")]);
    let filtered = environment
        .get(&format!(
            "runs/{run}/results/?status__in=[\"ERROR\",\"no-op\"]&resource_type=model"
        ))
        .await;
    assert_eq!(filtered.as_array().unwrap().len(), 1, "{filtered}");
    assert_eq!(
        (&filtered[0]["step"], &filtered[0]["is_attempt"]),
        (&json!(1), &json!(true))
    );
    let last = environment
        .get(&format!("runs/{run}/results/?order_by=-step&limit=1&offset=2"))
        .await;
    assert_eq!(last[0]["unique_id"], A, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_listed_with_the_node_it_is_attached_to() {
    let mut environment = Environment::start().await;
    let test = |nodes: &[&str], attached: Value| json!({"depends_on": {"nodes": nodes}, "attached_node": attached});
    let nodes = [
        (A, json!({})),
        (B, json!({})),
        ("test.shop.foreign_key", test(&[A, B], json!(B))),
        ("test.shop.singular", test(&[A, B], Value::Null)),
        ("test.shop.of_one_that_is_gone", test(&[A], json!("model.shop.gone"))),
    ];
    environment.send("r1", &manifest(1, &nodes)).await;
    environment
        .send(
            "r1",
            &build(2, &[("test.shop.foreign_key", "fail"), ("test.shop.singular", "pass")]),
        )
        .await;
    let ids = |node: &Value, field: &str| -> Vec<String> {
        let tests = node[field].as_array().unwrap();
        tests
            .iter()
            .map(|test| test["unique_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (a, b) = (environment.node(A).await, environment.node(B).await);
    assert_eq!(
        ids(&a, "tests"),
        ["test.shop.of_one_that_is_gone", "test.shop.singular"]
    );
    assert_eq!(ids(&a, "related_tests"), ["test.shop.foreign_key"]);
    assert_eq!(a["related_tests"][0]["attached_node"], B);
    assert_eq!(ids(&b, "tests"), ["test.shop.foreign_key", "test.shop.singular"]);
    assert_eq!(b["tests"][0]["last_result"]["status"], "fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_dbt_alters_while_it_runs_are_not_changes() {
    let mut environment = Environment::start().await;
    let folder = repository_file("fixtures/situations/same-project-after-other-commands");
    let mut number = 0;
    while let Ok(file) = std::fs::read(folder.join(format!("{}.manifest.json", number + 1))) {
        number += 1;
        environment
            .send(&format!("r{number}"), &serde_json::from_slice(&file).unwrap())
            .await;
    }
    assert!(number > 3, "{number} manifests");
    let first = environment.run("r1").await["id"].clone();
    for later in 2..=number {
        let run = environment.run(&format!("r{later}")).await["id"].clone();
        let changes = environment.get(&format!("runs/{run}/changes/?from={first}")).await;
        assert_eq!(changes, json!([]), "manifest {later}");
    }
    let test = "test.bakery.not_null_bread_item.6d1a564b6b";
    let macros = environment.node(test).await["macros"].clone();
    assert!(
        macros.as_array().unwrap().contains(&json!("macro.dbt.test_not_null")),
        "{macros}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn freshness_comes_from_the_last_check_that_lists_the_source() {
    let mut environment = Environment::start().await;
    let source = "source.shop.raw.a";
    let mut of_sources = manifest(1, &[]);
    of_sources["sources"] =
        json!({source: {"unique_id": source, "resource_type": "source", "name": "a", "package_name": "shop"}});
    let sources = |minute, of: Value| {
        json!({
            "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json", "generated_at": time(minute),
                "invocation_id": format!("sources-{minute}")},
            "results": of, "elapsed_time": 1.0,
        })
    };
    let check = |status: &str, minute| {
        json!([{"unique_id": source, "status": status, "max_loaded_at": time(0), "snapshotted_at": time(minute),
            "max_loaded_at_time_ago_in_s": 60.0, "criteria": {"warn_after": {"count": 1, "period": "hour"}}}])
    };
    environment.send("r1", &of_sources).await;
    environment.send("r1", &sources(2, check("error", 2))).await;
    assert_eq!(environment.statuses().await, [20]);
    environment.send("r1", &sources(3, check("warn", 3))).await;
    assert_eq!(environment.statuses().await, [10], "the same source was checked again");
    let node = environment.node(source).await;
    assert_eq!(
        (&node["last_result"]["status"], &node["freshness"]["status"]),
        (&json!("warn"), &json!("warn"))
    );
    assert_eq!(node["freshness"]["max_loaded_at_time_ago_in_s"], 60.0);
    // The next day, the query of the check fails and dbt leaves the source out.
    environment.send("r2", &sources(30, json!([]))).await;
    let node = environment.node(source).await;
    assert_eq!(node["last_result"]["status"], "unknown");
    assert_eq!(node["last_result"]["completed_at"], "2026-11-24T09:03:00.000000+00:00");
    assert_eq!(node["last_success"]["status"], "warn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_environment_sees_only_its_state() {
    let mut environment = Environment::start().await;
    environment
        .send("r1", &manifest(1, &[(A, json!({"compiled_code": "x"}))]))
        .await;
    environment.send("r1", &build(2, &[(A, "success")])).await;
    let run = environment.run("r1").await["id"].clone();
    let installation = &environment.installation;
    installation.command(&[
        "environment",
        "add",
        "--account",
        "1",
        "--project",
        "1",
        "--name",
        "other",
        "--slug",
        "other",
    ]);
    let other = installation.token("1", "read", &["--environment", "other"]);
    for path in [
        format!("environments/1/nodes/{A}/"),
        format!("runs/{run}/results/"),
        format!("runs/{run}/nodes/"),
    ] {
        let (status, answer) = installation.get(&other, &format!("/api/v2/accounts/1/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
    }
    let own = installation.token("1", "read", &["--environment", SLUG]);
    let (status, answer) = installation
        .get(&own, &format!("/api/v2/accounts/1/environments/1/nodes/{A}/"))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["data"]["compiled_code"], "x");
}
