//! What clients send that differs from the specification, and is understood.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, data, error, send, with_a_build};
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn ids_variables_enums_and_comments_are_read_leniently() {
    let (installation, token) = with_a_build().await;
    let query = "# a comment
        query Models($id: BigInt!, $after: String, $unused: Int, $types: [ResourceNodeType!]!, $direction: SortDirection!) {
            environment(id: $id) { applied {
                models(first: 1, after: $after, sort: {field: uniqueId, direction: $direction},) { edges { node { uniqueId, name, } } },
                resources(first: 1, filter: {types: $types}) { totalCount } } } }";
    for id in [json!(1), json!("1")] {
        let variables = json!({"id": id, "after": null, "types": ["Model"], "direction": "desc", "test_first": 5});
        let answer = data(&installation, &token, query, variables).await;
        let applied = &answer["environment"]["applied"];
        assert_eq!(applied["models"]["edges"][0]["node"]["name"], "stg_orders");
        assert_eq!(applied["resources"]["totalCount"], 5);
    }
    // Aliases of one field in fragments on different types, and fragments by name.
    let query = "{ environment(id: \"1\") { applied { resources(first: 9, filter: {types: [Model, Seed]}) { edges { node { ...common
        ... on ModelAppliedStateNode { modelInfo: executionInfo { lastRunStatus } }
        ... on SeedAppliedStateNode { seedInfo: executionInfo { lastRunStatus } name @skip(if: true) fqn @include(if: false) } } } } } } }
        fragment common on EnvironmentAppliedNode { uniqueId __typename }";
    let answer = data(&installation, &token, query, json!({})).await;
    let edges = answer["environment"]["applied"]["resources"]["edges"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(edges.len(), 7);
    for edge in edges {
        let node = edge["node"].as_object().unwrap();
        let info = if node["__typename"] == "SeedAppliedStateNode" {
            "seedInfo"
        } else {
            "modelInfo"
        };
        assert_eq!(node.len(), 3, "{node:?}");
        assert!(node[info].is_object(), "{node:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_paths_hosts_and_forms_of_tokens_are_served() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let body = json!({ "query": "query Q { __typename environment(id: 1) { __typename } }" }).to_string();
    for path in ["/graphql", "/graphql/", "/beta/graphql", "/beta/graphql/"] {
        for form in ["Token", "Bearer"] {
            let request = installation.client.post(format!("{}{path}", installation.service.url));
            let request = request.header("Authorization", format!("{form} {}", token.key));
            let answer = request
                .header("Host", "metadata.dbt.example.com")
                .body(body.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert!(answer.headers().contains_key("x-request-id"), "{:?}", answer.headers());
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(
                answer["data"],
                json!({"__typename": "Query", "environment": {"__typename": "Environment"}})
            );
        }
    }
    let page = installation.client.get(format!("{}/graphql", installation.service.url));
    let page = page.header("Accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let text = page.text().await.unwrap();
    assert!(!text.contains("https://") && !text.contains("//cdn"), "{text}");
    for part in ["graphiql.js", "graphiql.css", "react.js", "react-dom.js", "start.js"] {
        let url = format!("{}/graphql/graphiql/{part}", installation.service.url);
        assert!(
            text.contains(&format!("/graphql/graphiql/{part}"))
                && installation.client.get(url).send().await.unwrap().status() == 200
        );
    }
    let (status, _) = installation.send(Method::GET, &token, "/graphql").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_can_be_asked_for() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let query = "query IntrospectionQuery { __schema { queryType { name } types { ...FullType } directives { name args { ...InputValue } } } }
        fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name args { ...InputValue } type { ...TypeRef } }
            inputFields { ...InputValue } interfaces { ...TypeRef } enumValues { name } possibleTypes { ...TypeRef } }
        fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue }
        fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
            ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    assert!(answer["__schema"]["types"].as_array().unwrap().len() > 150);
    let one = data(
        &installation,
        &token,
        "{ __type(name: \"ModelAppliedStateNode\") { fields { name } } }",
        json!({}),
    )
    .await;
    assert!(one["__type"]["fields"].as_array().unwrap().len() > 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong() {
    let (installation, token) = with_a_build().await;
    for (query, expected) in [
        ("{ environment(id: 1) { nothing } }", "nothing"),
        ("{ environment { adapterType } }", "id"),
        ("{ environment(id: true) { adapterType } }", "BigInt"),
        (
            "{ environment(id: 1) { applied { models(first: 501) { totalCount } } } }",
            "from 0 to 500, got `501`",
        ),
        (
            "{ environment(id: 1) { applied { models(filter: {name: \"x\"}) { totalCount } } } }",
            "name",
        ),
        (
            "{ environment(id: 1) { applied { models(sort: {field: nothing, direction: asc}) { totalCount } } } }",
            "nothing",
        ),
        (
            "query ($id: BigInt!) { environment(id: $id) { adapterType } }",
            "needs a value",
        ),
        ("{ environment(id: 1) { applied", "expected"),
        ("mutation { x }", "read-only"),
        ("{ environment(id: 1) { applied } }", "applied"),
    ] {
        let answer = ask(&installation, &token, query, json!({})).await;
        let message = answer["errors"][0]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("{query}: {answer}"));
        assert!(message.contains(expected), "{query}: {message}");
        // An error while the query is answered leaves out only the nearest field that may be null.
        let is_partly_answered = expected.starts_with("from 0 to 500");
        let left = if is_partly_answered {
            json!({ "environment": { "applied": null } })
        } else {
            Value::Null
        };
        assert_eq!(answer["data"], left, "{query}");
    }
    let (status, answer) = send(&installation, &token, "[{\"query\": \"{ __typename }\"}]".to_owned()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("batched"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_see_their_account_and_environments_only() {
    let (installation, token) = with_a_build().await;
    let other = installation.token("2", "read", &[]);
    let query = "{ environment(id: 1) { applied { models(first: 1) { edges { node { uniqueId } } } } } }";
    let answer = ask(&installation, &other, query, json!({})).await;
    assert_eq!(
        (&answer["data"], &answer["errors"][0]["extensions"]["code"]),
        (&Value::Null, &json!("NOT_FOUND"))
    );
    for query in [
        "{ job(id: 1) { runId } }",
        "{ job(id: 1, runId: 1) { runId } }",
        "{ account(id: 1) { meshProjects { projectId } } }",
        "{ models(jobId: 1) { uniqueId } }",
    ] {
        let answer = ask(&installation, &other, query, json!({})).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "NOT_FOUND",
            "{query}: {answer}"
        );
    }
    installation.add_environment("other");
    let limited = installation.token("1", "read", &["--environment", "other"]);
    let answer = ask(&installation, &limited, "{ job(id: 1, runId: 1) { runId } }", json!({})).await;
    assert!(answer["errors"].is_array(), "{answer}");
    let upload = installation.token("1", "upload", &[]);
    let url = format!("{}/graphql", installation.service.url);
    let status = async |key: &str| {
        let answer = installation
            .client
            .post(&url)
            .bearer_auth(key)
            .body("{\"query\": \"{ __typename }\"}")
            .send()
            .await
            .unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(
            body["data"],
            if status == 200 {
                json!({"__typename": "Query"})
            } else {
                Value::Null
            }
        );
        status
    };
    assert_eq!(status(&token.key).await, StatusCode::OK);
    assert_eq!(status("nonsense").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&upload.key).await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_asked_for_by_itself() {
    let (installation, token) = with_a_build().await;
    for query in [
        "{ __schema { queryType { name } } environment(id: 1) { adapterType } }",
        "{ ...f environment(id: 1) { adapterType } } fragment f on Query { __type(name: \"Query\") { name } }",
    ] {
        let message = error(&installation, &token, query).await;
        assert!(
            message.contains("cannot be asked for together with data, here `environment`"),
            "{message}"
        );
    }
    let query = "{ __typename ...f } fragment f on Query { __type(name: \"Query\") { name } }";
    let answer = data(&installation, &token, query, json!({})).await;
    assert_eq!(answer, json!({"__typename": "Query", "__type": {"name": "Query"}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_merged_must_ask_for_the_same() {
    let (installation, token) = with_a_build().await;
    let query = |second: &str| {
        format!(
            "{{ environment(id: 1) {{ applied {{ resources(filter: {{types: [Model]}}) {{ edges {{ node {{
                x: uniqueId ... on ModelAppliedStateNode {{ x: {second} }} }} }} }} }} }} }}"
        )
    };
    data(&installation, &token, &query("uniqueId"), json!({})).await;
    let message = error(&installation, &token, &query("alias")).await;
    assert!(
        message.contains("the fields `x` of `ModelAppliedStateNode` differ in their names or arguments"),
        "{message}"
    );
}
