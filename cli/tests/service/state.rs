//! One state per node, each aspect of it from its own newest source, from uploads that are composed.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{repository_file, wait_until};

use crate::ingests::put_zip;
use crate::installation::{Installation, SLUG, Token};

/// Minutes of one morning.
fn time(minute: u32) -> String {
    format!("2026-11-24T09:{minute:02}:00Z")
}

fn manifest(minute: u32, nodes: &[(&str, Value)]) -> Value {
    manifest_of("shop", minute, nodes)
}

fn manifest_of(project: &str, minute: u32, nodes: &[(&str, Value)]) -> Value {
    let nodes: serde_json::Map<String, Value> = nodes
        .iter()
        .map(|(id, fields)| {
            let mut node = json!({
                "unique_id": id, "resource_type": id.split('.').next(), "name": id.rsplit('.').next(), "package_name": id.split('.').nth(1),
                "depends_on": {"nodes": [], "macros": []},
            });
            node.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            ((*id).to_owned(), node)
        })
        .collect();
    json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.12.6", "generated_at": time(minute),
            "invocation_id": format!("{project}-{minute}"), "project_name": project,
        },
        "nodes": nodes, "sources": {}, "macros": {},
    })
}

fn results(minute: u32, args: Value, results: &[(&str, &str)]) -> Value {
    let results: Vec<Value> = results
        .iter()
        .map(|(id, status)| {
            let failures = if id.starts_with("test.") { json!(0) } else { Value::Null };
            json!({
                "unique_id": id, "status": status, "message": null, "failures": failures, "execution_time": 0.1, "adapter_response": {},
                "timing": [{"name": "execute", "started_at": time(minute), "completed_at": time(minute)}],
            })
        })
        .collect();
    json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.12.6",
            "generated_at": time(minute), "invocation_id": format!("shop-{minute}"),
        },
        "args": args, "results": results, "elapsed_time": 1.0,
    })
}

fn build(minute: u32, of_nodes: &[(&str, &str)]) -> Value {
    results(minute, json!({"which": "build"}), of_nodes)
}

struct Environment {
    installation: Installation,
    token: Token,
    sent: i64,
}

impl Environment {
    async fn start() -> Self {
        let installation = Installation::start().await;
        let token = installation.token("1", "read,upload", &[]);
        Self {
            installation,
            token,
            sent: 0,
        }
    }

    async fn send_with(&mut self, fields: &[(&'static str, &str)], file: &Value) {
        let mut form = Form::new().text("environment_slug", SLUG);
        for (name, value) in fields {
            form = form.text(*name, (*value).to_owned());
        }
        let form = form.part("file", Part::bytes(file.to_string().into_bytes()).file_name("file"));
        let (status, answer) = self.installation.upload(&self.token, form).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.sent += 1;
        self.is_applied().await;
    }

    async fn send(&mut self, run: &str, file: &Value) {
        self.send_with(&[("run_id", run), ("dag_id", "daily")], file).await;
    }

    async fn send_zip(&mut self, files: &[(&str, &Value)]) {
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, file)| ((*name).to_owned(), file.to_string().into_bytes()))
            .collect();
        put_zip(&self.installation, &self.token, 1, &files).await;
        self.sent += i64::try_from(files.len()).unwrap();
        self.is_applied().await;
    }

    async fn is_applied(&self) {
        wait_until("the upload is applied", async || {
            let applied = self.installation.count("SELECT count(*) FROM artifacts").await;
            (applied == self.sent).then_some(())
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self
            .installation
            .get(&self.token, &format!("/api/v2/accounts/1/{path}"))
            .await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer["data"].clone()
    }

    async fn node(&self, id: &str) -> Value {
        self.get(&format!("environments/1/nodes/{id}/")).await
    }

    /// The statuses of all runs, in the order of their numbers.
    async fn statuses(&self) -> Vec<i64> {
        let runs = self.get("runs/?order_by=id").await;
        runs.as_array()
            .unwrap()
            .iter()
            .map(|run| run["status"].as_i64().unwrap())
            .collect()
    }

    async fn run(&self, run: &str) -> Value {
        let runs = self.get("runs/?include_related=trigger").await;
        let cause = format!("Airflow: {run}");
        let found = runs
            .as_array()
            .unwrap()
            .iter()
            .find(|known| known["trigger"]["cause"] == cause.as_str());
        found.unwrap_or_else(|| panic!("there is no run {run}: {runs}")).clone()
    }

    /// The nodes of the manifest to defer to.
    async fn deferral(&self, query: &str) -> Vec<String> {
        let path = format!("/api/internal/manifests?environment_slug={SLUG}{query}");
        let (status, body) = self.installation.send(Method::GET, &self.token, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        manifest["nodes"].as_object().unwrap().keys().cloned().collect()
    }
}

const A: &str = "model.shop.a";
const B: &str = "model.shop.b";

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_moves_nothing_that_is_newer() {
    let mut environment = Environment::start().await;
    let new = [
        (A, json!({"compiled_code": "new"})),
        (B, json!({"depends_on": {"nodes": [A]}})),
    ];
    environment.send("r2", &manifest(20, &new)).await;
    environment
        .send("r2", &build(20, &[(A, "success"), (B, "success")]))
        .await;
    let before = environment.node(A).await;
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
    assert_eq!(environment.node(A).await, before);
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
async fn what_failed_outside_nodes_is_made_good_by_the_same_command_alone() {
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
    let expected = [
        (docs(3, "a", "error"), 20),
        (docs(4, "b", "success"), 20),
        (docs(5, "a", "success"), 10),
        (operation(6, json!({"to": "x"}), "error"), 20),
        (operation(7, json!({"to": "y"}), "success"), 20),
        (build(8, &[(A, "success"), (B, "success")]), 20),
        (operation(9, json!({"to": "x"}), "success"), 10),
    ];
    for (file, status) in expected {
        environment.send("r1", &file).await;
        assert_eq!(environment.statuses().await, [status], "{file}");
        // However the docs end, the tables are there.
        assert_eq!(environment.deferral("").await, [A, B]);
    }
    let run = environment.run("r1").await["id"].clone();
    // Results of work, though docs and operations came after it.
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
        "the step has no manifest, and one before it has"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_hook_is_made_good_when_all_that_it_kept_back_is_done() {
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
    assert_eq!(environment.statuses().await, [20], "one node is still to be done");
    environment
        .send(
            "r1",
            &select(4, &["a", "b"], &[(hook, "success"), (A, "success"), (B, "success")]),
        )
        .await;
    assert_eq!(environment.statuses().await, [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_empty_and_repeated_builds_are_attempts() {
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
async fn a_test_stands_under_the_node_that_it_is_attached_to() {
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
async fn dbt_projects_of_an_environment_stand_side_by_side_until_one_is_retired() {
    let mut environment = Environment::start().await;
    let shared = |by: &str| json!({"package_name": "beta", "description": by});
    let alpha = [
        ("model.alpha.a", json!({})),
        ("model.beta.b", shared("alpha")),
        ("model.both.c", shared("alpha")),
    ];
    let beta = [
        ("model.beta.b", shared("beta")),
        ("model.both.c", json!({"package_name": "both", "description": "beta"})),
    ];
    environment.send("r1", &manifest_of("beta", 1, &beta)).await;
    environment.send("r1", &manifest_of("alpha", 2, &alpha)).await;
    let run = environment.run("r1").await["id"].clone();
    for place in ["environments/1".to_owned(), format!("runs/{run}")] {
        let nodes = environment.get(&format!("{place}/nodes/")).await;
        let of = |id: &str| {
            nodes
                .as_array()
                .unwrap()
                .iter()
                .find(|node| node["unique_id"] == id)
                .unwrap()["description"]
                .clone()
        };
        assert_eq!(nodes.as_array().unwrap().len(), 3, "{nodes}");
        assert_eq!(of("model.beta.b"), "beta", "the project of its package");
        assert_eq!(of("model.both.c"), "alpha", "the newest");
    }
    assert_eq!(environment.deferral("").await.len(), 3);
    assert_eq!(environment.deferral("&dbt_project=beta").await.len(), 2);
    let command = ["environment", "retire-project", "--account", "1", SLUG];
    environment.installation.command(&[&command[..], &["alpha"]].concat());
    let nodes = environment.get("environments/1/nodes/").await;
    assert_eq!(nodes.as_array().unwrap().len(), 2, "{nodes}");
    assert_eq!(environment.deferral("").await.len(), 2);
    assert_eq!(
        environment
            .get(&format!("runs/{run}/nodes/"))
            .await
            .as_array()
            .unwrap()
            .len(),
        3,
        "what ran, ran"
    );
    let (code, _, error) = testkit::try_command(
        crate::installation::BINARY,
        &[&command[..], &["gamma"]].concat(),
        &environment.installation.system,
    );
    assert!(
        code == Some(1) && error.contains("`gamma`") && error.contains("alpha, beta"),
        "{error}"
    );
    let mut again = manifest_of("alpha", 3, &alpha);
    again["metadata"]["generated_at"] = Value::Null;
    environment.send("r2", &again).await;
    assert_eq!(
        environment.get("environments/1/nodes/").await.as_array().unwrap().len(),
        3,
        "it was uploaded again"
    );
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_to_defer_to_is_of_work_that_went_well() {
    let mut environment = Environment::start().await;
    let of = |minute, name: &str| manifest(minute, &[(name, json!({}))]);
    environment
        .send_with(&[("tag", "latest-manifest")], &of(1, "model.shop.latest"))
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.latest"],
        "better than none"
    );
    environment
        .send_zip(&[("manifest.json", &of(0, "model.shop.listed"))])
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.listed"],
        "of `dbt list`, which makes no run"
    );
    assert_eq!(environment.statuses().await, [] as [i64; 0]);
    let failed = build(2, &[("model.shop.failed", "error")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(2, "model.shop.failed")),
            ("run_results.json", &failed),
        ])
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.failed"],
        "the newest, since none went well"
    );
    let good = build(3, &[("model.shop.good", "success")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(3, "model.shop.good")),
            ("run_results.json", &good),
        ])
        .await;
    let failed = build(4, &[("model.shop.new", "error")]);
    environment
        .send_zip(&[
            ("manifest.json", &of(4, "model.shop.new")),
            ("run_results.json", &failed),
        ])
        .await;
    // What it defines need not have been built.
    let docs = results(5, json!({"which": "generate"}), &[("model.shop.new", "success")]);
    environment
        .send_zip(&[("manifest.json", &of(5, "model.shop.new")), ("run_results.json", &docs)])
        .await;
    environment
        .send_with(&[("tag", "latest-manifest")], &of(5, "model.shop.latest"))
        .await;
    assert_eq!(environment.deferral("").await, ["model.shop.good"]);
    assert_eq!(
        environment.deferral("&tag=latest-manifest").await,
        ["model.shop.latest"]
    );
    environment.send("r9", &of(6, "model.shop.of_dag")).await;
    assert_eq!(environment.deferral("&dag_id=daily").await, ["model.shop.of_dag"]);
    environment
        .send("r9", &build(7, &[("model.shop.of_dag", "error")]))
        .await;
    assert_eq!(
        environment.deferral("").await,
        ["model.shop.good"],
        "by now it is known that it failed"
    );
    let project = environment.get("projects/").await[0]["id"].clone();
    let path = format!("/api/private/accounts/1/projects/{project}/manifest/1/");
    let (_, answer) = environment.installation.get(&environment.token, &path).await;
    let href = answer["data"]["manifest_href"].as_str().unwrap();
    let (_, path) = href.split_once("/api/").unwrap();
    let (_, body) = environment
        .installation
        .send(Method::GET, &environment.token, &format!("/api/{path}"))
        .await;
    assert!(String::from_utf8(body).unwrap().contains("model.shop.good"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dbt_alters_while_it_runs_is_no_change() {
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
async fn sources_are_as_fresh_as_the_last_check_that_lists_them() {
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
    // The next day the query of the check fails, and dbt leaves the source out.
    environment.send("r2", &sources(30, json!([]))).await;
    let node = environment.node(source).await;
    assert_eq!(node["last_result"]["status"], "unknown");
    assert_eq!(node["last_result"]["completed_at"], "2026-11-24T09:03:00.000000+00:00");
    assert_eq!(node["last_success"]["status"], "warn");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_an_aspect_is_not_pruned() {
    let mut environment = Environment::start().await;
    let catalog = json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json", "generated_at": time(1)},
        "nodes": {B: {"unique_id": B, "metadata": {"name": "b"}, "columns": {"id": {"name": "id", "type": "INT", "index": 1}}}},
        "sources": {}, "errors": null,
    });
    let nodes = |code: &str| [(A, json!({"compiled_code": code})), (B, json!({}))];
    environment.send("of_the_catalog", &catalog).await;
    environment
        .send(
            "of_b",
            &manifest(2, &[(A, json!({})), (B, json!({"compiled_code": "of b"}))]),
        )
        .await;
    environment.send("of_nothing", &manifest(3, &nodes("old"))).await;
    environment.send("of_the_success", &build(4, &[(A, "success")])).await;
    environment.send("of_the_attempt", &build(5, &[(A, "error")])).await;
    environment.send("of_a", &manifest(6, &nodes("new"))).await;
    let before = (environment.node(A).await, environment.node(B).await);
    assert_eq!(
        (&before.0["compiled_code"], &before.1["compiled_code"]),
        (&json!("new"), &json!("of b"))
    );
    assert_eq!(before.1["columns"][0]["catalog_type"], "INT");
    let pruned = environment
        .installation
        .command(&["prune", "--account", "1", "--older-than", "0d", "--apply"]);
    let nothing = environment.get("runs/?limit=100").await;
    assert_eq!(nothing.as_array().unwrap().len(), 5, "{pruned} {nothing}");
    assert_eq!((environment.node(A).await, environment.node(B).await), before);
    let verified = environment.installation.command(&["rebuild", "--verify"]);
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_environment_sees_the_state_of_that_one() {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_same_results_in_two_runs_are_an_attempt_of_the_first() {
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
    assert_eq!(of_second["last_result"]["run_id"], second["id"], "it is a step of both");
}
