//! The queries that dbt's documentation gives as examples.

use serde_json::{Value, json};

use super::{all, data, with_a_build};

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
    let query = "{ tests(jobId: 1, first: 1) { uniqueId } job(id: 1) { tests(first: 3) { uniqueId } macros(first: 2) { paginationCursor } } }";
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
