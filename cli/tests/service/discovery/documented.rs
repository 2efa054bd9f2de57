//! The queries that dbt's documentation gives as examples.

use serde_json::{Value, json};

use testkit::repository_file;

use super::{all, data, with_a_build};
use crate::nodes::applied;

/// The queries, a file for each part of the documentation. Ids and names are those of the build; a comment names each query.
const FILES: [&str; 3] = [
    include_str!("documented/uses.graphql"),
    include_str!("documented/environment.graphql"),
    include_str!("documented/job.graphql"),
];

#[tokio::test(flavor = "multi_thread")]
async fn documented_queries_are_answered() {
    let (installation, token) = with_a_build().await;
    let variables = json!({"environmentId": 1, "jobId": 1, "runId": 1, "first": 100, "uniqueId": "model.shop.orders", "lastRunCount": 10,
        "withCatalog": true, "after": null});
    let mut asked = 0;
    for query in FILES.iter().flat_map(|file| file.split("\n\n")) {
        // The comment at the beginning of a file is not about a query.
        if query.lines().all(|line| line.starts_with('#')) {
            continue;
        }
        let answer = data(&installation, &token, query, variables.clone()).await;
        for (name, value) in answer.as_object().unwrap() {
            assert_ne!(*value, Value::Null, "{name} of {query}");
        }
        asked += 1;
    }
    assert_eq!(asked, 67);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_job_can_be_read_in_pages() {
    let (installation, token) = with_a_build().await;
    let query = "query ($first: Int, $after: String) { job(id: 1) { models(first: $first, after: $after) { uniqueId paginationCursor } } }";
    let page = async |first: Value, after: Value| {
        let variables = json!({"first": first, "after": after});
        data(&installation, &token, query, variables).await["job"]["models"].clone()
    };
    let whole = page(Value::Null, Value::Null).await;
    let (mut pages, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = page(json!(2), after.clone()).await;
        let models = page.as_array().unwrap().clone();
        let is_last = models.len() < 2;
        pages.extend(models);
        if is_last {
            break;
        }
        after = pages.last().unwrap()["paginationCursor"].clone();
    }
    assert_eq!(Value::Array(pages), whole);
    assert_eq!(whole.as_array().unwrap().len(), 5);
    let query = "{ tests(jobId: 1, first: 1) { uniqueId } job(id: 1) { tests(first: 3) { uniqueId } macros(first: 2) { paginationCursor } semanticModels(first: 1) { paginationCursor } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    let length = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(length(&answer["tests"]), 1);
    assert_eq!(
        (length(&answer["job"]["tests"]), length(&answer["job"]["macros"])),
        (3, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_are_filtered_by_their_last_known_result() {
    let (installation, token) = with_a_build().await;
    let query = "query ($filter: TestAppliedFilter) { environment(id: 1) { applied { tests(filter: $filter) {
        edges { node { lastKnownResult } } } } } }";
    let results = async |filter: Value| {
        let answer = data(&installation, &token, query, json!({ "filter": filter })).await;
        let edges = answer["environment"]["applied"]["tests"]["edges"].clone();
        let nodes = edges
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| edge["node"].clone())
            .collect();
        let nodes = Value::Array(nodes);
        all(&nodes, "lastKnownResult").into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(results(json!({"lastKnownResults": ["error", "fail"]})).await, ["error"]);
    assert_eq!(results(json!({"lastKnownResult": "error"})).await, ["error"]);
    assert_eq!(results(json!({"lastKnownResults": "skipped"})).await, ["skipped"; 2]);
    let passed = results(json!({"lastKnownResult": "error", "lastKnownResults": ["pass"]})).await;
    assert_eq!(passed, ["pass"; 4]);
    for no_filter in [
        json!({}),
        json!({"lastKnownResults": []}),
        json!({"lastKnownResults": null}),
    ] {
        assert_eq!(results(no_filter).await.len(), 7);
    }
}

/// Run results of one test, written so many hours after the build.
fn results_of_test(test: &str, hours: u8, status: &str) -> Vec<u8> {
    let file = repository_file("fixtures/run_results/v6-1.12.0-build.json");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("T11:20:", &format!("T{}:20:", 11 + hours));
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["metadata"]["invocation_id"] = format!("4d425735-2892-4ae4-a289-9c43c486c2{hours:02}").into();
    let results = file["results"].as_array_mut().unwrap();
    results.retain(|result| result["unique_id"] == test);
    results[0]["status"] = status.into();
    results[0]["failures"] = if status == "fail" { 3.into() } else { Value::Null };
    if status == "skipped" {
        results[0]["timing"] = json!([]);
    }
    serde_json::to_vec(&file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_failed_and_is_skipped_since_is_known_to_fail() {
    let (installation, token) = with_a_build().await;
    let test = "test.shop.unique_stg_orders_order_id.e3b841c71a";
    let query = r#"query ($id: String!) {
        environment(id: 1) { applied {
            tests(filter: {uniqueIds: [$id]}) { edges { node { lastKnownResult } } }
            failing: tests(filter: {lastKnownResults: [fail]}) { edges { node { uniqueId } } } } }
        test(jobId: 1, uniqueId: $id) { status } }"#;
    for (number, (status, known)) in [
        ("fail", "fail"),
        ("skipped", "fail"),
        ("skipped", "fail"),
        ("pass", "pass"),
        ("skipped", "pass"),
    ]
    .into_iter()
    .enumerate()
    {
        let hours = u8::try_from(number).unwrap() + 1;
        installation
            .upload_manifest(&token, "build", results_of_test(test, hours, status))
            .await;
        applied(&installation, 3 + i64::from(hours)).await;
        let answer = data(&installation, &token, query, json!({ "id": test })).await;
        let tests = &answer["environment"]["applied"];
        assert_eq!(
            tests["tests"]["edges"][0]["node"]["lastKnownResult"], known,
            "{number}: {answer}"
        );
        let failing = tests["failing"]["edges"].as_array().unwrap().len();
        assert_eq!(failing, usize::from(known == "fail"), "{number}: {answer}");
        assert_eq!(answer["test"]["status"], status, "{number}: {answer}");
    }
}
