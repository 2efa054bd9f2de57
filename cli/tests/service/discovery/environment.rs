//! `environment`.

use serde_json::{Value, json};

use super::{all, data, with_a_build};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_shown_with_everything_known_about_it() {
    let (installation, token) = with_a_build().await;
    let query = "query ($id: BigInt!) {
        environment(id: $id) {
            adapterType dbtProjectName
            applied {
                lastUpdatedAt
                models(first: 10, filter: {uniqueIds: [\"model.shop.stg_orders\"]}) {
                    totalCount
                    pageInfo { startCursor endCursor hasNextPage hasPreviousPage }
                    edges { cursor node {
                        __typename accountId projectId environmentId uniqueId name description resourceType filePath fqn tags meta
                        packageName alias database schema materializedType rawCode compiledCode language access relationName
                        contractEnforced latestVersion version releaseVersion deprecationDate group modelingLayer packages
                        constraints { type name expression columns warnUnenforced warnUnsupported }
                        config
                        catalog { type owner rowCountStat bytesStat runGeneratedAt environmentId uniqueId
                            columns { name type description index comment meta tags } stats { id label value } }
                        executionInfo { lastRunStatus lastRunId lastRunGeneratedAt lastRunError lastJobDefinitionId lastSuccessRunId
                            executionTime executeStartedAt executeCompletedAt compileStartedAt runGeneratedAt runElapsedTime }
                        parents { __typename uniqueId ... on SeedAppliedStateNestedNode { schema seedInfo: executionInfo { lastRunStatus } } }
                        children { uniqueId ... on ModelAppliedStateNestedNode { materializedType testStatuses } }
                        tests { uniqueId name columnName testType testMetadata { name kwargs columnName }
                            executionInfo { lastRunStatus lastRunFailures } lastKnownResult }
                        ancestors(types: [Seed, Source]) { uniqueId resourceType }
                    } }
                }
            }
        }
    }";
    let answer = data(&installation, &token, query, json!({ "id": 1 })).await;
    let environment = &answer["environment"];
    assert_eq!(environment["adapterType"], "duckdb");
    assert_eq!(environment["dbtProjectName"], "shop");
    // That of the catalog, which is the newest file.
    assert_eq!(environment["applied"]["lastUpdatedAt"], "2026-11-24T11:20:45.350Z");
    let models = &environment["applied"]["models"];
    assert_eq!(models["totalCount"], 1);
    assert_eq!(models["pageInfo"]["hasNextPage"], false);
    let node = &models["edges"][0]["node"];
    assert_eq!(node["__typename"], "ModelAppliedStateNode");
    assert_eq!(node["uniqueId"], "model.shop.stg_orders");
    assert_eq!(
        (&node["accountId"], &node["projectId"], &node["environmentId"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(node["filePath"], "models/staging/stg_orders.sql");
    assert_eq!(node["modelingLayer"], "staging");
    assert_eq!(node["releaseVersion"], "none");
    assert!(node["rawCode"].as_str().unwrap().contains("{{"), "{node}");
    assert!(node["compiledCode"].as_str().unwrap().contains("raw_orders"), "{node}");
    assert_eq!(node["config"]["enabled"], true);
    assert!(node["meta"].is_object() && node["tags"].is_array());
    let order_id = node["catalog"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .find(|column| column["name"] == "order_id")
        .unwrap();
    assert!(order_id["type"].is_string() && order_id["index"].is_i64(), "{order_id}");
    assert_eq!(node["catalog"]["environmentId"], 1);
    let info = &node["executionInfo"];
    assert_eq!(
        (&info["lastRunStatus"], &info["lastRunId"], &info["lastSuccessRunId"]),
        (&json!("success"), &json!(1), &json!(1))
    );
    assert_eq!(info["lastRunError"], Value::Null);
    assert!(
        info["executionTime"].is_f64() && info["executeCompletedAt"].is_string(),
        "{info}"
    );
    assert_eq!(all(&node["parents"], "uniqueId"), ["seed.shop.raw_orders"]);
    assert_eq!(node["parents"][0]["__typename"], "SeedAppliedStateNestedNode");
    assert_eq!(node["parents"][0]["seedInfo"]["lastRunStatus"], "success");
    assert!(all(&node["children"], "uniqueId").contains(&&json!("model.shop.orders")));
    let tests = node["tests"].as_array().unwrap();
    let unique = tests
        .iter()
        .find(|test| test["name"] == "unique_stg_orders_order_id")
        .unwrap();
    assert_eq!(unique["testMetadata"]["name"], "unique");
    assert_eq!(unique["testMetadata"]["kwargs"]["column_name"], "order_id");
    assert_eq!(unique["executionInfo"]["lastRunStatus"], "pass");
    assert_eq!(unique["lastKnownResult"], "pass");
    assert_eq!(unique["testType"], "GENERIC_DATA_TEST");
    assert_eq!(all(&node["ancestors"], "uniqueId"), ["seed.shop.raw_orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_listed_in_both_states() {
    let (installation, token) = with_a_build().await;
    let query = "{
        environment(id: 1) {
            applied {
                customers: models(filter: {identifier: \"customers\"}) { edges { node { catalog { type columns { name type description } } } } }
                sources(first: 5) { edges { node { uniqueId sourceName sourceDescription identifier loader
                    freshness { freshnessStatus freshnessChecked criteria { warnAfter { count period } } } tests { uniqueId } } } }
                seeds(first: 5) { totalCount edges { node { uniqueId executionInfo { lastRunStatus lastRunSkip } } } }
                snapshots(first: 5) { totalCount edges { node { uniqueId parents { uniqueId } executionInfo { lastRunStatus } } } }
                tests(first: 50) { totalCount edges { node { uniqueId testType given expect model numGiven numGivenRows numExpectRows
                    testedNodeUniqueId parents { uniqueId resourceType } } } }
                exposures(first: 5) { edges { node { uniqueId exposureType maturity url ownerName ownerEmail label manifestGeneratedAt
                    parents { uniqueId } } } }
                packages(resource: macro)
                resourceCounts
                owners(resource: exposure) { name email }
                tags { name }
            }
            definition {
                models(first: 5) { totalCount edges { node { uniqueId runGeneratedAt runId jobDefinitionId tests { uniqueId } } } }
                sources(first: 5) { totalCount } seeds(first: 5) { totalCount } snapshots(first: 5) { totalCount }
                tests(first: 5) { totalCount } exposures(first: 5) { totalCount }
                metrics(first: 5) { edges { node { uniqueId type typeParams parents { uniqueId __typename } } } }
                macros(first: 500, filter: {packageName: \"shop\"}) { edges { node { uniqueId macroSql arguments { name type description } } } }
                semanticModels(first: 5) { edges { node { uniqueId entities { name type } dimensions { name typeParams } measures { name agg } } } }
                savedQueries(first: 5) { edges { node { uniqueId queryParams { metrics groupBy } exports { name } } } }
                groups(first: 5) { edges { node { uniqueId name ownerEmail modelCount models { uniqueId } } } }
                resources(first: 500, filter: {types: [Metric, Model]}) { edges { node { __typename uniqueId } } }
                all: resources(first: 1, filter: {types: [Metric, Macro, Model]}) { totalCount }
            }
        }
    }";
    let answer = data(&installation, &token, query, json!({})).await;
    let (applied, definition) = (&answer["environment"]["applied"], &answer["environment"]["definition"]);
    let declared = &applied["customers"]["edges"][0]["node"]["catalog"];
    assert_eq!(declared, &Value::Null, "no catalog lists it");
    let source = &applied["sources"]["edges"][0]["node"];
    assert_eq!(source["uniqueId"], "source.shop.crm.raw_customers");
    assert_eq!(
        (&source["sourceName"], &source["identifier"]),
        (&json!("crm"), &json!("raw_customers"))
    );
    assert_eq!(source["freshness"]["freshnessStatus"], Value::Null);
    assert_eq!(source["freshness"]["criteria"]["warnAfter"], Value::Null);
    assert_eq!(
        applied["seeds"]["edges"][0]["node"]["executionInfo"]["lastRunStatus"],
        "success"
    );
    assert_eq!(applied["snapshots"]["totalCount"], 1);
    let tests = applied["tests"]["edges"].as_array().unwrap();
    let unit = tests
        .iter()
        .map(|edge| &edge["node"])
        .find(|test| test["testType"] == "UNIT_TEST")
        .unwrap();
    assert_eq!(
        (&unit["numGiven"], &unit["numGivenRows"], &unit["numExpectRows"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(unit["model"], "customers");
    assert_eq!(unit["testedNodeUniqueId"], "model.shop.customers");
    let exposure = &applied["exposures"]["edges"][0]["node"];
    assert_eq!(
        (&exposure["exposureType"], &exposure["ownerName"]),
        (&json!("dashboard"), &json!("Finance"))
    );
    assert_eq!(
        all(&exposure["parents"], "uniqueId"),
        ["model.shop.customers", "model.shop.orders"]
    );
    assert!(applied["packages"].as_array().unwrap().contains(&json!("dbt")));
    assert_eq!(applied["resourceCounts"]["model"], 5);
    assert_eq!(
        applied["owners"],
        json!([{"name": "Finance", "email": "finance@example.com"}])
    );
    assert_eq!(definition["models"]["totalCount"], 5);
    let model = &definition["models"]["edges"][0]["node"];
    assert_eq!((&model["runId"], &model["jobDefinitionId"]), (&json!(1), &json!(1)));
    let metric = &definition["metrics"]["edges"][0]["node"];
    assert_eq!(
        (&metric["uniqueId"], &metric["type"]),
        (&json!("metric.shop.revenue"), &json!("simple"))
    );
    assert_eq!(metric["parents"][0]["__typename"], "SemanticModelDefinitionNestedNode");
    let macros = definition["macros"]["edges"].as_array().unwrap();
    assert!(
        macros
            .iter()
            .any(|edge| edge["node"]["arguments"][0]["name"] == "amount"),
        "{macros:?}"
    );
    let semantic = &definition["semanticModels"]["edges"][0]["node"];
    assert_eq!(semantic["entities"][0], json!({"name": "order", "type": "primary"}));
    assert_eq!(semantic["dimensions"][0]["typeParams"]["time_granularity"], "day");
    assert_eq!(
        definition["savedQueries"]["edges"][0]["node"]["queryParams"]["metrics"],
        json!(["revenue"])
    );
    let group = &definition["groups"]["edges"][0]["node"];
    assert_eq!(
        (&group["name"], &group["ownerEmail"]),
        (&json!("finance"), &json!("finance@example.com"))
    );
    assert_eq!(group["modelCount"], group["models"].as_array().unwrap().len());
    let resources = definition["resources"]["edges"].as_array().unwrap();
    assert!(
        resources
            .iter()
            .any(|edge| edge["node"]["__typename"] == "MetricDefinitionNode")
    );
    assert!(definition["all"]["totalCount"].as_i64().unwrap() > 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_join_to_the_whole_list() {
    let (installation, token) = with_a_build().await;
    let query =
        "query ($after: String, $first: Int) { environment(id: 1) { applied { models(first: $first, after: $after,
        sort: {field: queryUsageCount, direction: desc}) {
        totalCount pageInfo { endCursor startCursor hasNextPage hasPreviousPage } edges { node { uniqueId } } } } } }";
    let page = async |after: Value, first: i64| {
        let answer = data(&installation, &token, query, json!({ "after": after, "first": first })).await;
        answer["environment"]["applied"]["models"].clone()
    };
    let ids = |page: &Value| -> Vec<String> {
        let edges = page["edges"].as_array().unwrap().iter();
        edges
            .map(|edge| edge["node"]["uniqueId"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = page(Value::Null, 500).await;
    assert_eq!((whole["totalCount"].as_i64(), ids(&whole).len()), (Some(5), 5));
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = page(after, 2).await;
        found.extend(ids(&page));
        assert_eq!(page["totalCount"], 5);
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(found, ids(&whole));
    let query = "{ environment(id: 1) { applied { models(last: 2) { pageInfo { hasPreviousPage } edges { node { uniqueId } } } } } }";
    let last = data(&installation, &token, query, json!({})).await;
    assert_eq!(ids(&last["environment"]["applied"]["models"]), found[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_nodes() {
    let (installation, token) = with_a_build().await;
    let count = async |list: &str, filter: &str| {
        let query = format!(
            "{{ environment(id: 1) {{ applied {{ {list}(first: 500, filter: {filter}) {{ totalCount }} }} }} }}"
        );
        let answer = data(&installation, &token, &query, json!({})).await;
        answer["environment"]["applied"][list]["totalCount"].as_i64().unwrap()
    };
    for (list, filter, expected) in [
        ("models", "{}", 5),
        ("models", "null", 5),
        (
            "models",
            "{uniqueIds: [\"model.shop.orders\", \"model.shop.nothing\", \"seed.shop.raw_orders\"]}",
            1,
        ),
        (
            "models",
            "{identifier: \"orders\", schema: \"main\", database: \"shop\"}",
            1,
        ),
        ("models", "{schema: \"other\"}", 0),
        ("models", "{lastRunStatus: skipped}", 1),
        ("models", "{lastRunStatus: success, modelingLayer: \"staging\"}", 1),
        ("models", "{packageName: \"dbt\"}", 0),
        ("sources", "{sourceNames: [\"crm\"]}", 1),
        ("sources", "{sourceNames: \"erp\"}", 0),
        ("sources", "{freshnessChecked: true}", 0),
        ("sources", "{freshnessChecked: false}", 1),
        ("tests", "{testTypes: [UNIT_TEST]}", 1),
        ("tests", "{status: \"skipped\"}", 2),
        ("resources", "{types: [Model, Source], uniqueIds: null}", 6),
        (
            "resources",
            "{types: [Snapshot], uniqueIds: [\"snapshot.shop.customers_snapshot\"]}",
            1,
        ),
    ] {
        assert_eq!(count(list, filter).await, expected, "{list} {filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_without_manifests_is_empty() {
    let installation = crate::installation::Installation::start().await;
    let token = installation.token("1", "read", &[]);
    let query = "{ environment(id: 1) { adapterType applied { models(first: 5) { totalCount edges { node { name } } pageInfo { endCursor } }
        lineage(filter: {}) { uniqueId } packages(resource: model) lastUpdatedAt modelHistoricalRuns(uniqueId: \"model.a.b\") { runId } } } }";
    let answer = data(&installation, &token, query, json!({})).await;
    let applied = &answer["environment"]["applied"];
    assert_eq!(
        applied["models"],
        json!({"totalCount": 0, "edges": [], "pageInfo": {"endCursor": null}})
    );
    assert_eq!(
        (
            &applied["lineage"],
            &applied["packages"],
            &applied["modelHistoricalRuns"]
        ),
        (&json!([]), &json!([]), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_keep_their_texts_when_the_read_model_is_rebuilt() {
    let installation = crate::installation::Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    // A rebuild numbers the nodes from 1 on. In use, pruned nodes leave such gaps.
    let gap = "SELECT max(nextval(pg_get_serial_sequence('read_model.nodes', 'id'))) FROM generate_series(1, 2)";
    installation.count(gap).await;
    let model = |name: &str| {
        json!({"unique_id": format!("model.p.{name}"), "resource_type": "model", "name": name, "package_name": "p", "fqn": ["p", name],
            "description": format!("About {name}"), "depends_on": {"nodes": []}})
    };
    let nodes: serde_json::Map<String, Value> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| (format!("model.p.{name}"), model(name)))
        .collect();
    let manifest = super::hostile::manifest(nodes.into());
    installation.upload_manifest(&token, "run", manifest).await;
    installation.run_with_total(&token, "1", 1).await;
    let query = "{ environment(id: 1) { definition { models { edges { node { description } } } } } }";
    let descriptions = async || {
        let answer = data(&installation, &token, query, json!({})).await;
        let edges = answer["environment"]["definition"]["models"]["edges"]
            .as_array()
            .unwrap()
            .clone();
        let descriptions: Vec<String> = edges
            .iter()
            .map(|edge| edge["node"]["description"].to_string())
            .collect();
        descriptions.join(" ")
    };
    let before = descriptions().await;
    assert_eq!(before, r#""About a" "About b" "About c" "About d""#);
    installation.command(&["rebuild"]);
    assert_eq!(descriptions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_begins_after_a_cursor_or_not_at_all() {
    let (installation, token) = with_a_build().await;
    let query = |list: &str| format!("{{ environment(id: 1) {{ applied {{ {list} {{ edges {{ cursor }} }} }} }} }}");
    // Lists that are sorted by the cursor go on where the node was.
    let descending = query("models(after: \"model.shop.orders_gone\", sort: {field: uniqueId, direction: desc})");
    let answer = data(&installation, &token, &descending, json!({})).await;
    assert_eq!(
        all(&answer["environment"]["applied"]["models"]["edges"], "cursor"),
        [
            "model.shop.orders",
            "model.shop.metricflow_time_spine",
            "model.shop.customers"
        ]
    );
    for list in [
        "models(after: \"model.shop.gone\", sort: {field: executeCompletedAt, direction: desc})",
        "models(before: \"model.shop.gone\", sort: {field: executeCompletedAt, direction: asc})",
        "searchResults(after: \"model.shop.gone\", filter: {query: \"orders\"})",
    ] {
        let message = super::error(&installation, &token, &query(list)).await;
        assert!(
            message.contains("expected a cursor of this list, got `model.shop.gone`"),
            "{message}"
        );
    }
}
