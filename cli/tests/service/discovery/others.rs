//! `performance`, `account`, `column`, `recommendations` and search.

use serde_json::{Value, json};

use super::{all, data, error, with_a_build};

#[tokio::test(flavor = "multi_thread")]
async fn performance_is_counted_over_days() {
    let (installation, token) = with_a_build().await;
    let query = "query ($start: Date!, $end: Date!) { performance(environmentId: 1) {
        longestExecutedModels(start: $start, end: $end, limit: 2, orderBy: MAX, jobLimit: 5) {
            uniqueId maxExecutionTime averageExecutionTime totalExecutions byJob { jobId maxExecutionTime } }
        mostExecutedModels(start: $start, end: $end, jobId: null) { uniqueId totalExecutions byJob { jobId totalExecutions } }
        mostExecutionFailedModels(start: $start, end: $end) { uniqueId }
        mostTestFailedModels(start: $start, end: $end) { uniqueId failurePercentage totalRunsWithTests totalRunsWithTestFailures }
        modelExecutionHistory(startDate: $start, endDate: $end, uniqueId: \"model.shop.orders\") {
            date meanExecutionTime executionTimes executionsByJob { jobId executions { runId status adapter executionTime } } }
        jobInformation(start: $start, end: $end, uniqueId: \"model.shop.orders\") { jobId name } } }"
        .replace("jobId: null", "limit: 10");
    let period = json!({"start": "2026-11-24", "end": "2026-11-24"});
    let answer = data(&installation, &token, &query, period).await;
    let performance = &answer["performance"];
    let longest = performance["longestExecutedModels"].as_array().unwrap();
    assert_eq!(longest.len(), 2);
    assert!(longest[0]["maxExecutionTime"].as_f64() >= longest[1]["maxExecutionTime"].as_f64());
    assert_eq!(longest[0]["byJob"][0]["jobId"], 1);
    assert_eq!(all(&performance["mostExecutedModels"], "totalExecutions"), [1, 1, 1]);
    assert_eq!(performance["mostExecutionFailedModels"], json!([]));
    let failed = &performance["mostTestFailedModels"];
    assert_eq!(
        failed[0],
        json!({"uniqueId": "model.shop.customers", "failurePercentage": 100.0, "totalRunsWithTests": 1, "totalRunsWithTestFailures": 1})
    );
    let day = &performance["modelExecutionHistory"][0];
    assert_eq!(
        (&day["date"], &day["executionsByJob"][0]["executions"][0]["adapter"]),
        (&json!("2026-11-24"), &json!("duckdb"))
    );
    assert_eq!(performance["jobInformation"][0]["jobId"], 1);
    let other = data(
        &installation,
        &token,
        &query,
        json!({"start": "2026-11-20", "end": "2026-11-23"}),
    )
    .await;
    assert_eq!(other["performance"]["mostExecutedModels"], json!([]));
    let long = "{ performance(environmentId: 1) { mostExecutedModels(start: \"2000-01-01\", end: \"2026-01-01\") { uniqueId } } }";
    assert!(error(&installation, &token, long).await.contains("invalid period"));
    let negative = "{ performance(environmentId: 1) { longestExecutedModels(start: \"2026-11-24\", end: \"2026-11-24\", jobLimit: -1) { uniqueId } } }";
    let message = error(&installation, &token, negative).await;
    assert_eq!(message, "invalid `jobLimit`: expected a whole number from 0, got `-1`");
}

#[tokio::test(flavor = "multi_thread")]
async fn performance_leaves_out_no_execution() {
    let (installation, token) = with_a_build().await;
    // Half a million executions of one model besides its own.
    let columns = "account_id, environment_id, sha256, unique_id, status, at, execution_time, is_attempt, is_success, has_passed, is_freshness, doc";
    let more = format!(
        "WITH added AS (
            INSERT INTO read_model.node_results (place, {columns})
            SELECT 1000 + n, {columns} FROM read_model.node_results, generate_series(1, 500000) AS n
            WHERE unique_id = 'model.shop.orders' AND is_attempt
            RETURNING 1)
         SELECT count(*) FROM added"
    );
    assert_eq!(installation.count(more.leak()).await, 500_000);
    let query = "{ performance(environmentId: 1) { mostExecutedModels(start: \"2026-11-24\", end: \"2026-11-24\") { uniqueId } } }";
    let message = error(&installation, &token, query).await;
    assert!(message.contains("more than 500000 executions"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_dbt_cloud_knows_is_empty_and_says_so() {
    let (installation, token) = with_a_build().await;
    let query = "query ($environmentId: BigInt!, $nodeUniqueId: String!, $filters: ColumnLineageFilter) {
        column(environmentId: $environmentId) { lineage(nodeUniqueId: $nodeUniqueId, filters: $filters) { name parentColumns relationship } } }";
    let filters = json!({"maxDepth": null, "columnName": "order_id", "isError": false});
    let variables = json!({"environmentId": 1, "nodeUniqueId": "model.shop.orders", "filters": filters});
    let answer = super::ask(&installation, &token, query, variables).await;
    assert_eq!(answer["data"]["column"]["lineage"], json!([]));
    assert_eq!(answer["extensions"]["columnLineage"]["isAvailable"], false);
    let query = "query ($filter: RuleFilter) { recommendations(environmentId: 1) { metrics { name value }
            rules(first: 500, after: null, filter: $filter) { edges { node { name } } pageInfo { hasNextPage endCursor } totalCount } }
        account(id: 1) { meshProjects { projectId dbtCloudProject dbtCoreProject defaultEnvironmentId isProducer projectSummary { totalModels sources } }
            publicModels(first: 5) { edges { node { uniqueId } } totalCount } } }";
    let filter = json!({"severity": null, "categories": null, "ruleNames": null, "uniqueIds": null});
    let answer = data(&installation, &token, query, json!({ "filter": filter })).await;
    assert_eq!(answer["recommendations"]["metrics"], json!([]));
    assert_eq!(
        answer["recommendations"]["rules"]["pageInfo"],
        json!({"hasNextPage": false, "endCursor": null})
    );
    assert_eq!(answer["account"]["publicModels"]["totalCount"], 0);
    assert_eq!(
        answer["account"]["meshProjects"],
        json!([{"projectId": 1, "dbtCloudProject": "Shop", "dbtCoreProject": "shop", "defaultEnvironmentId": 1, "isProducer": false,
            "projectSummary": {"totalModels": 5, "sources": 1}}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_found_by_their_texts() {
    let (installation, token) = with_a_build().await;
    let query = "query ($filter: SearchQueryFilter!, $first: Int) { environment(id: 1) { applied {
        searchResults(filter: $filter, first: $first) { totalCount edges { cursor node { highlight matchedField hit { name uniqueId resourceType } } } } } } }";
    let search = async |filter: Value| {
        let answer = data(&installation, &token, query, json!({ "filter": filter, "first": 500 })).await;
        answer["environment"]["applied"]["searchResults"].clone()
    };
    let found = search(json!({"query": "STG_ord", "resourceTypes": "Model", "tags": null, "accessLevels": null})).await;
    let hit = &found["edges"][0]["node"];
    assert_eq!(
        (&hit["matchedField"], &hit["hit"]["name"]),
        (&json!("name"), &json!("stg_orders"))
    );
    let code = search(json!({"query": "raw_orders", "fields": ["code"], "resourceTypes": ["Model"]})).await;
    assert_eq!(
        (&code["totalCount"], &code["edges"][0]["node"]["matchedField"]),
        (&json!(1), &json!("code"))
    );
    assert!(
        code["edges"][0]["node"]["highlight"]
            .as_str()
            .unwrap()
            .contains("raw_orders")
    );
    assert_eq!(search(json!({"query": "no such text"})).await["totalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn public_models_are_listed_over_all_environments() {
    let installation = crate::installation::Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let model = |name: &str, access: &str| {
        json!({"unique_id": format!("model.p.{name}"), "resource_type": "model", "name": name, "package_name": "p", "fqn": ["p", name],
            "alias": name, "access": access, "description": "A model", "columns": {"a": {"name": "a"}}, "depends_on": {"nodes": []}})
    };
    let nodes = json!({"model.p.a": model("a", "public"), "model.p.b": model("b", "protected"), "model.p.c": model("c", "public")});
    installation
        .upload_manifest(&token, "run", super::hostile::manifest(nodes))
        .await;
    installation.run_with_total(&token, "1", 1).await;
    let query = "query ($filter: PublicModelsFilter, $after: String) { account(id: \"1\") { publicModels(first: 1, after: $after, filter: $filter) {
        totalCount pageInfo { endCursor hasNextPage } edges { node { uniqueId columnCount description environmentId identifier healthIssues
            publicAncestors { uniqueId } } } } } }";
    let page =
        async |variables: Value| data(&installation, &token, query, variables).await["account"]["publicModels"].clone();
    let first = page(json!({})).await;
    assert_eq!(first["totalCount"], 2);
    let node = json!({"uniqueId": "model.p.a", "columnCount": 1, "description": "A model", "environmentId": 1, "identifier": "a",
        "healthIssues": [], "publicAncestors": []});
    assert_eq!(first["edges"][0]["node"], node);
    let second = page(json!({ "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(second["edges"][0]["node"]["uniqueId"], "model.p.c");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    let filter = json!({"environmentIds": [9], "projectId": null, "dbtCoreProjectName": null, "uniqueIds": null});
    assert_eq!(page(json!({ "filter": filter })).await["totalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_shown_however_many_environments_they_have() {
    let installation = crate::installation::Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let added = "WITH added AS (
            INSERT INTO directory.environments
            SELECT 1000 + n, account_id, project_id, name, 'more' || n, environment_type, state, created_at, updated_at, event_id
            FROM directory.environments, generate_series(1, 50) AS n WHERE id = 1
            RETURNING 1)
         SELECT count(*) FROM added";
    assert_eq!(installation.count(added).await, 50);
    let query = "{ account(id: 1) { meshProjects { projectId defaultEnvironmentId } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    assert_eq!(
        answer["account"]["meshProjects"],
        json!([{"projectId": 1, "defaultEnvironmentId": 1}])
    );
    let query = "{ account(id: 1) { publicModels { totalCount } } }";
    let message = error(&installation, &token, query).await;
    assert!(message.contains("more than 50 environments"), "{message}");
}
