//! The lists of the Semantic Layer, as its clients ask for them.

mod metrics;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::repository_file;

use crate::installation::{Installation, Token};
use crate::nodes::applied;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(repository_file("fixtures/semantic_layer").join(name)).unwrap()
}

async fn with_metrics() -> (Installation, Token) {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    installation
        .upload_manifest(&token, "parse", file("manifest.json"))
        .await;
    applied(&installation, 1).await;
    (installation, token)
}

/// Asks a query with variables, at a path.
async fn ask_at(
    installation: &Installation,
    key: &str,
    path: &str,
    query: &str,
    variables: Value,
) -> (StatusCode, Value) {
    let request = installation.client.post(format!("{}{path}", installation.service.url));
    let request = request.header("Authorization", format!("bearer {key}"));
    let body = json!({ "query": query, "variables": variables }).to_string();
    let answer = request.body(body).send().await.unwrap();
    let status = answer.status();
    assert!(answer.headers().contains_key("x-request-id"), "{:?}", answer.headers());
    (status, answer.json().await.unwrap())
}

async fn ask(installation: &Installation, token: &Token, query: &str, variables: Value) -> Value {
    let (status, answer) = ask_at(installation, &token.key, "/api/graphql", query, variables).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn data(installation: &Installation, token: &Token, query: &str, variables: Value) -> Value {
    let answer = ask(installation, token, query, variables).await;
    assert_eq!(answer["errors"], Value::Null, "{query}: {answer}");
    answer["data"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_can_be_searched() {
    let (installation, token) = with_metrics().await;
    let query = "query ($search: String, $searchTerms: [String!], $pageNum: Int!, $pageSize: Int!) { metricsPaginated(environmentId: 1,
        search: $search, searchTerms: $searchTerms, pageNum: $pageNum, pageSize: $pageSize) { pageNum pageSize totalItems totalPages items { name } } }";
    let page = async |variables: Value| data(&installation, &token, query, variables).await["metricsPaginated"].clone();
    let first = page(json!({"pageNum": 1, "pageSize": 6, "search": null})).await;
    assert_eq!(
        (&first["totalItems"], &first["totalPages"], &first["pageSize"]),
        (&json!(16), &json!(3), &json!(6))
    );
    let mut all = names(&first["items"]).len();
    for number in [2, 3, 4] {
        let next = page(json!({"pageNum": number, "pageSize": 6})).await;
        assert_eq!(next["pageNum"], number);
        all += names(&next["items"]).len();
    }
    assert_eq!(all, 16);
    let found = page(json!({"search": " ORDERS ", "pageNum": 1, "pageSize": 50})).await;
    assert_eq!(names(&found["items"]), ["orders", "orders_per_customer", "week_orders"]);
    let found = page(json!({"searchTerms": ["visit", "conv"], "pageNum": 1, "pageSize": 50})).await;
    assert_eq!(names(&found["items"]), ["conversion", "visits"]);
    let query = "query ($metrics: [MetricInput!]!) {
        dimensionsPaginated(environmentId: 1, metrics: $metrics, search: \"CUSTOMER\", pageNum: 2, pageSize: 3) { totalPages items { name queryableGranularities } }
        entitiesPaginated(environmentId: 1, metrics: $metrics) { pageSize totalItems totalPages items { name type } }
        dimensions(environmentId: 1, metrics: $metrics) { name }
        measures(environmentId: 1, metrics: $metrics) { name } }";
    let answer = data(
        &installation,
        &token,
        query,
        json!({"metrics": [{"name": "orders"}, {"name": "visits"}]}),
    )
    .await;
    // Both can be grouped by what is known of customers; the time of both is known by the second and by the day.
    assert_eq!(
        names(&answer["dimensions"]),
        [
            "customer__first_ordered_at",
            "customer__region__region_name",
            "customer__segment",
            "customer__tier",
            "metric_time"
        ]
    );
    assert_eq!(names(&answer["dimensionsPaginated"]["items"]), ["customer__tier"]);
    assert_eq!(answer["dimensionsPaginated"]["totalPages"], 2);
    assert_eq!(
        names(&answer["entitiesPaginated"]["items"]),
        ["country", "customer", "email", "region"]
    );
    assert_eq!(
        (
            &answer["entitiesPaginated"]["pageSize"],
            &answer["entitiesPaginated"]["totalPages"]
        ),
        (&Value::Null, &json!(1))
    );
    assert_eq!(names(&answer["measures"]), ["order_count", "visits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_queries_and_the_environment_are_shown() {
    let (installation, token) = with_metrics().await;
    let query =
        "{ savedQueries(environmentId: 1) { name description label metadata { repoFilePath fileSlice { content } }
            queryParams { metrics { name } groupBy { name grain timeGranularity datePart } where { whereSqlTemplate } }
            exports { name config { alias schema exportAs } } }
        savedQueriesPaginated(environmentId: 1, pageNum: 1, pageSize: 50) { totalItems items { name __typename } }
        environmentInfo(environmentId: 1) { dialect sqlDialect hasMetricsDefined dialectSupportedBySlg } }";
    let answer = data(&installation, &token, query, json!({})).await;
    let saved = &answer["savedQueries"][0];
    assert_eq!(
        (&saved["name"], &saved["label"], &saved["description"]),
        (&json!("by_segment"), &json!("By segment"), &json!("Orders by segment."))
    );
    assert_eq!(names(&saved["queryParams"]["metrics"]), ["orders", "average_order"]);
    let grouped = &saved["queryParams"]["groupBy"];
    assert_eq!(
        names(grouped),
        [
            "metric_time",
            "customer__segment",
            "customer",
            "order__ordered_at",
            "order__ordered_at"
        ]
    );
    assert_eq!(
        grouped[0],
        json!({"name": "metric_time", "grain": "MONTH", "timeGranularity": "month", "datePart": null})
    );
    assert_eq!(
        (&grouped[3]["grain"], &grouped[4]["datePart"]),
        (&json!("WEEK"), &json!("YEAR"))
    );
    assert_eq!(
        saved["queryParams"]["where"]["whereSqlTemplate"],
        "({{ Dimension('order__status') }} = 'done') AND ({{ Dimension('customer__segment') }} is not null)"
    );
    assert_eq!(
        saved["exports"],
        json!([{"name": "table_one", "config": {"alias": "t1", "schema": "reports", "exportAs": "TABLE"}}])
    );
    assert_eq!(
        answer["savedQueriesPaginated"],
        json!({"totalItems": 1, "items": [{"name": "by_segment", "__typename": "SavedQuery"}]})
    );
    assert_eq!(
        answer["environmentInfo"],
        json!({"dialect": "DUCKDB", "sqlDialect": "DUCKDB", "hasMetricsDefined": true, "dialectSupportedBySlg": false})
    );
    let empty = installation.add_environment("empty");
    let query = "query ($id: BigInt!) { metricsPaginated(environmentId: $id, pageSize: 9) { totalItems totalPages items { name } }
        environmentInfo(environmentId: $id) { dialect hasMetricsDefined } }";
    let answer = data(&installation, &token, query, json!({ "id": empty })).await;
    assert_eq!(
        answer["metricsPaginated"],
        json!({"totalItems": 0, "totalPages": 0, "items": []})
    );
    assert_eq!(
        answer["environmentInfo"],
        json!({"dialect": null, "hasMetricsDefined": false})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_data_say_that_there_is_no_warehouse() {
    let (installation, token) = with_metrics().await;
    for query in [
        "mutation createQuery($environmentId: BigInt!, $metrics: [MetricInput!], $where: [WhereInput!], $limit: Int) {
            createQuery(environmentId: $environmentId, metrics: $metrics, where: $where, limit: $limit) { queryId } }",
        "mutation ($environmentId: BigInt!) { compileSql(environmentId: $environmentId, metrics: [{name: \"orders\"}]) { sql } }",
        "mutation { createDimensionValuesQuery(environmentId: 1, groupBy: [{name: \"order__status\"}]) { queryId } }",
        "query ($environmentId: BigInt!) { query(environmentId: $environmentId, queryId: \"1\", pageNum: 1) { queryId status sql error totalPages arrowResult } }",
    ] {
        let answer = ask(
            &installation,
            &token,
            query,
            json!({"environmentId": 1, "metrics": [{"name": "orders"}]}),
        )
        .await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "NO_WAREHOUSE", "{query}: {answer}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("no connection to a warehouse"),
            "{answer}"
        );
        assert_eq!(answer["data"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_tokens_and_limits_are_those_of_the_discovery_api() {
    let (installation, token) = with_metrics().await;
    let other = installation.token("2", "read", &[]);
    let upload = installation.token("1", "upload", &[]);
    installation.add_environment("other");
    let limited = installation.token("1", "read", &["--environment", "other"]);
    let query = "{ metrics(environmentId: 1) { name } }";
    for key in [&other.key, &limited.key] {
        let (_, answer) = ask_at(&installation, key, "/api/graphql", query, json!({})).await;
        assert_eq!(
            (&answer["data"], &answer["errors"][0]["extensions"]["code"]),
            (&Value::Null, &json!("NOT_FOUND"))
        );
    }
    for (key, expected) in [
        ("nonsense", StatusCode::UNAUTHORIZED),
        (&upload.key, StatusCode::FORBIDDEN),
        (&token.key, StatusCode::OK),
    ] {
        let (status, _) = ask_at(&installation, key, "/api/graphql/", query, json!({})).await;
        assert_eq!(status, expected);
    }
    for (query, expected) in [
        ("{ metrics(environmentId: 1) { nothing } }", "nothing"),
        ("{ metrics { name } }", "environmentId"),
        ("{ environment(id: 1) { adapterType } }", "environment"),
        (
            "{ metricsPaginated(environmentId: 1, pageNum: 0) { pageNum } }",
            "invalid `pageNum`: expected a whole number from 1, got `0`",
        ),
        (
            "{ metricsPaginated(environmentId: 1, pageSize: -1) { pageNum } }",
            "invalid `pageSize`: expected a whole number from 1, got `-1`",
        ),
        (
            "{ dimensions(environmentId: 1, metrics: [{name: \"x\"}]) { name } }",
            "the environment has no metric `x`",
        ),
        ("subscription { metrics(environmentId: 1) { name } }", "read-only"),
    ] {
        let answer = ask(&installation, &token, query, json!({})).await;
        let message = answer["errors"][0]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("{query}: {answer}"));
        assert!(message.contains(expected), "{query}: {message}");
    }
    let aliases: String = (0..21)
        .map(|number| format!("a{number}: metrics(environmentId: 1) {{ name }} "))
        .collect();
    let answer = ask(&installation, &token, &format!("{{ {aliases} }}"), json!({})).await;
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("at its root"),
        "{answer}"
    );
    let schema = data(
        &installation,
        &token,
        "{ __schema { queryType { name } types { name } mutationType { name } } }",
        json!({}),
    )
    .await;
    assert!(names(&schema["__schema"]["types"]).contains(&"MetricResultPage"));
    assert_eq!(schema["__schema"]["mutationType"], Value::Null);
    let (status, _) = installation.send(Method::GET, &token, "/api/graphql").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}
