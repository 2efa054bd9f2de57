//! `job`, history, and the older roots.

use serde_json::{Value, json};

use super::{all, ask, data, error, with_a_build};

/// What DataHub asks of each kind.
const MODELS: &str = "query ($jobId: BigInt!, $runId: BigInt) { job(id: $jobId, runId: $runId) { models {
    runId accountId projectId environmentId jobId resourceType uniqueId name description meta dbtVersion tags
    database schema type owner comment columns { name index type comment description tags meta }
    packageName alias error status skip rawSql rawCode compiledSql compiledCode dependsOn materializedType
    runElapsedTime executionTime threadId invocationId runGeneratedAt args childrenL1 stats { id }
    tests { uniqueId status fail warn skip state columnName } parentsModels { uniqueId parentsSources { uniqueId } } parentsSources { uniqueId }
    runResults { status executionTime } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_what_its_files_say() {
    let (installation, token) = with_a_build().await;
    for run in [Value::Null, json!(1), json!("1")] {
        let answer = data(&installation, &token, MODELS, json!({ "jobId": 1, "runId": run })).await;
        let models = answer["job"]["models"].as_array().unwrap();
        assert_eq!(models.len(), 5);
        let model = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
        let orders = model("stg_orders");
        assert_eq!(
            (&orders["runId"], &orders["jobId"], &orders["status"]),
            (&json!(1), &json!(1), &json!("success"))
        );
        assert_eq!(orders["dependsOn"], json!(["seed.shop.raw_orders"]));
        assert_eq!(orders["type"], "VIEW");
        assert_eq!(orders["skip"], false);
        assert!(
            orders["columns"]
                .as_array()
                .unwrap()
                .iter()
                .all(|column| column["tags"].is_array())
        );
        assert!(orders["compiledSql"].is_string() && orders["rawSql"].is_string() && orders["threadId"].is_string());
        assert_eq!(orders["runResults"][0]["status"], "success");
        let tests = orders["tests"].as_array().unwrap();
        assert!(
            tests
                .iter()
                .any(|test| test["status"] == "pass" && test["fail"] == false),
            "{tests:?}"
        );
        let customers = model("customers");
        assert_eq!(
            (&customers["status"], &customers["skip"]),
            (&json!("skipped"), &json!(true))
        );
        assert_eq!(customers["columns"], Value::Null, "the catalog does not have its table");
        assert!(all(&customers["parentsModels"], "uniqueId").contains(&&json!("model.shop.stg_orders")));
        let failed = model("orders");
        assert!(
            failed["childrenL1"]
                .as_array()
                .unwrap()
                .contains(&json!("exposure.shop.weekly_report"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_a_run_have_lists_and_single_forms() {
    let (installation, token) = with_a_build().await;
    let query = "{ job(id: \"1\") { id runId
        seeds { uniqueId status childrenL1 columns { name } } sources { uniqueId sourceName state freshnessChecked criteria { warnAfter { count } } }
        snapshots { uniqueId parentsModels { uniqueId } parentsSources { uniqueId } status } tests { uniqueId state dependsOn }
        exposures { uniqueId exposureType dependsOn parents { uniqueId __typename } }
        metrics { uniqueId name label type sql filters { field } dependsOn description meta model { uniqueId } }
        macros { uniqueId macroSql dependsOn }
        semanticModels { uniqueId packageName dependsOn entities { name type description expr } measures { name createMetric } dimensions { expr } }
        model(uniqueId: \"model.shop.orders\") { name } seed(uniqueId: \"seed.shop.raw_orders\") { name } nothing: model(uniqueId: \"x\") { name }
        source(uniqueId: \"source.shop.crm.raw_customers\") { name } exposure(name: \"weekly_report\") { ownerName }
        filtered: models(schema: \"main\", identifier: \"orders\") { uniqueId }
    } }";
    let answer = data(&installation, &token, query, json!({})).await;
    let job = &answer["job"];
    assert_eq!((&job["id"], &job["runId"]), (&json!(1), &json!(1)));
    assert!(
        all(&job["seeds"], "status")
            .iter()
            .all(|status| **status == json!("success"))
    );
    assert_eq!(
        (&job["sources"][0]["freshnessChecked"], &job["sources"][0]["criteria"]),
        (&json!(false), &json!({"warnAfter": null}))
    );
    assert_eq!(job["exposures"][0]["parents"][0]["__typename"], "ModelNode");
    assert_eq!(job["metrics"][0]["filters"], json!([]));
    assert_eq!(job["semanticModels"][0]["entities"][0]["expr"], "order_id");
    assert!(job["macros"].as_array().unwrap().len() > 100);
    let depends_on = |kind: &str, id: &str| {
        let nodes = job[kind].as_array().unwrap();
        let node = nodes.iter().find(|node| node["uniqueId"] == id).unwrap();
        node["dependsOn"].clone()
    };
    assert_eq!(
        depends_on("tests", "test.shop.unique_customers_customer_id.c5af1ff4b1"),
        json!(["macro.dbt.test_unique", "model.shop.customers"])
    );
    assert_eq!(
        depends_on("macros", "macro.dbt.test_unique"),
        json!(["macro.dbt.default__test_unique"])
    );
    assert_eq!(
        (&job["model"]["name"], &job["nothing"]),
        (&json!("orders"), &Value::Null)
    );
    assert_eq!(
        (&job["seed"]["name"], &job["exposure"]["ownerName"]),
        (&json!("raw_orders"), &json!("Finance"))
    );
    assert_eq!(all(&job["filtered"], "uniqueId"), ["model.shop.orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_roots_and_history_are_answered() {
    let (installation, token) = with_a_build().await;
    let query = "{ models(jobId: 1, runId: 1) { uniqueId status } tests(jobId: 1) { uniqueId } seed(jobId: 1, uniqueId: \"seed.shop.raw_orders\") { status }
        modelByEnvironment(environmentId: 1, uniqueId: \"model.shop.stg_orders\", lastRunCount: 10, withCatalog: true) {
            runId status executionTime executeStartedAt columns { name } tests { name status executionTime } }
        environment(id: 1) { applied { modelHistoricalRuns(identifier: \"stg_orders\", lastRunCount: 5) { uniqueId runId status } } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    assert_eq!(answer["models"].as_array().unwrap().len(), 5);
    assert_eq!(answer["seed"]["status"], "success");
    let runs = answer["modelByEnvironment"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((&runs[0]["runId"], &runs[0]["status"]), (&json!(1), &json!("success")));
    assert!(!runs[0]["columns"].as_array().unwrap().is_empty());
    let tests = runs[0]["tests"].as_array().unwrap();
    assert!(
        tests
            .iter()
            .any(|test| test["status"] == "pass" && test["executionTime"].is_f64()),
        "{tests:?}"
    );
    let history = &answer["environment"]["applied"]["modelHistoricalRuns"];
    assert_eq!(history[0]["uniqueId"], "model.shop.stg_orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_an_error_with_a_path() {
    let (installation, token) = with_a_build().await;
    let answer = ask(
        &installation,
        &token,
        "{ a: job(id: 9) { runId } b: job(id: 1) { runId } }",
        json!({}),
    )
    .await;
    assert_eq!(answer["data"], json!({"a": null, "b": {"runId": 1}}));
    assert_eq!(answer["errors"][0]["path"], json!(["a"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let answer = ask(
        &installation,
        &token,
        "{ environment(id: 9) { adapterType } }",
        json!({}),
    )
    .await;
    assert_eq!(answer["data"], Value::Null);
    assert!(
        error(&installation, &token, "{ job(id: 1, runId: 9) { runId } }")
            .await
            .contains("9 was not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_manifest_has_no_nodes_to_list() {
    let (installation, token) = with_a_build().await;
    let results = testkit::repository_file("fixtures/run_results/v6-1.12.0-build.json");
    let results = std::fs::read(results).unwrap();
    installation.upload_manifest(&token, "only-results", results).await;
    let run = installation.run_with_total(&token, "1", 2).await;
    let (job, run) = (&run["job_definition_id"], &run["id"]);
    for query in [
        "query ($job: BigInt!, $run: BigInt) { job(id: $job, runId: $run) { models { uniqueId } } }",
        "query ($job: BigInt!, $run: BigInt) { models(jobId: $job, runId: $run) { uniqueId } }",
    ] {
        let answer = ask(&installation, &token, query, json!({"job": job, "run": run})).await;
        assert_eq!(answer["errors"][0]["message"], format!("run {run} has no manifest"));
        assert_eq!(answer["errors"][0]["extensions"]["code"], "NO_DATA");
    }
}
