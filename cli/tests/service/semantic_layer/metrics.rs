//! What metrics have, compared with MetricFlow and the semantic manifest.

use serde_json::{Value, json};

use super::{data, file, names, with_metrics};

/// A field of a definition, and the field that is made of it.
type Same = (&'static str, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_listed_with_what_they_can_be_grouped_by() {
    let (installation, token) = with_metrics().await;
    let query = "query ($environmentId: BigInt!) { metrics(environmentId: $environmentId) { __typename name description type label
        queryableGranularities queryableTimeGranularities requiresMetricTime config { meta } filter { whereSqlTemplate }
        semanticModels { name } metadata { repoFilePath }
        dimensions { __typename name qualifiedName description type label isPartition expr queryableGranularities config { meta }
            typeParams { timeGranularity validityParams { isStart isEnd } } }
        measures { name aggTimeDimension agg expr } entities { name description type role expr }
        typeParams { measure { name } inputMeasures { name } numerator { name filter { whereSqlTemplate } } denominator { name } expr
            window { count granularity timeGranularity } grainToDate metrics { name alias offsetWindow { count timeGranularity } } } } }";
    let answer = data(&installation, &token, query, json!({ "environmentId": "1" })).await;
    let metrics = answer["metrics"].as_array().unwrap();
    let metric = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    // MetricFlow, which reads the semantic manifest, finds the same.
    let expected: Value = serde_json::from_slice(&file("metricflow.json")).unwrap();
    let alone = expected["alone"].as_object().unwrap();
    assert!(names(&answer["metrics"]).into_iter().eq(alone.keys()), "{metrics:?}");
    for (name, grouped) in alone {
        let found = names(&metric(name)["dimensions"]);
        let of_metricflow = grouped["dimensions"].as_array().unwrap();
        for one in of_metricflow {
            assert!(found.contains(&one[0].as_str().unwrap()), "{name}: {one}");
        }
        assert_eq!(
            names(&metric(name)["entities"]).len(),
            grouped["entities"].as_array().unwrap().len()
        );
        assert_eq!(metric(name)["queryableGranularities"][0], grouped["grain"]);
    }
    let orders = metric("orders");
    assert_eq!(
        (&orders["type"], &orders["label"], &orders["description"]),
        (&json!("SIMPLE"), &json!("Orders"), &json!("How many."))
    );
    assert_eq!(
        (&orders["config"]["meta"]["tier"], &orders["metadata"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        orders["queryableTimeGranularities"],
        json!(["day", "week", "month", "quarter", "year"])
    );
    let dimension = |name: &str| {
        let mut dimensions = orders["dimensions"].as_array().unwrap().iter();
        dimensions.find(|dimension| dimension["name"] == name).unwrap()
    };
    let status = dimension("order__status");
    assert_eq!(
        (&status["qualifiedName"], &status["config"]["meta"]["pii"]),
        (&json!("order__status"), &json!(false))
    );
    assert_eq!(
        (&status["typeParams"], &status["queryableGranularities"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(dimension("customer__segment")["expr"], "case when vip then 'vip' end");
    assert_eq!(dimension("order__ds")["isPartition"], true);
    let valid_to = &dimension("account__valid_to")["typeParams"];
    assert_eq!(
        *valid_to,
        json!({"timeGranularity": "DAY", "validityParams": {"isStart": false, "isEnd": true}})
    );
    assert_eq!(
        orders["measures"],
        json!([{"name": "order_count", "aggTimeDimension": "ordered_at", "agg": "SUM", "expr": "1"}])
    );
    assert_eq!(
        metric("shipped")["filter"]["whereSqlTemplate"],
        "{{ Dimension('order__status') }} = 'done'"
    );
    let params = &metric("orders_per_customer")["typeParams"];
    assert_eq!(
        params["numerator"]["filter"]["whereSqlTemplate"],
        "{{ Dimension('order__status') }} = 'done'"
    );
    assert_eq!(
        metric("week_orders")["typeParams"]["window"],
        json!({"count": 7, "granularity": "DAY", "timeGranularity": "day"})
    );
    assert_eq!(metric("month_to_date")["typeParams"]["grainToDate"], "MONTH");
    let inputs = &metric("growth")["typeParams"]["metrics"];
    assert_eq!(
        inputs[1],
        json!({"name": "orders", "alias": "last_orders", "offsetWindow": {"count": 1, "timeGranularity": "month"}})
    );
    assert_eq!(metric("growth")["requiresMetricTime"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_those_of_the_semantic_manifest() {
    let (installation, token) = with_metrics().await;
    let file: Value = serde_json::from_slice(&file("semantic_manifest.json")).unwrap();
    let query = "{ dimensions(environmentId: 1, metrics: []) { name semanticModel { name } description label expr isPartition type }
        entities(environmentId: 1) { name semanticModel { name } description expr role type } }";
    let answer = data(&installation, &token, query, json!({})).await;
    let same: [(&str, &[Same]); 2] = [
        (
            "dimensions",
            &[
                ("description", "description"),
                ("label", "label"),
                ("expr", "expr"),
                ("is_partition", "isPartition"),
            ],
        ),
        (
            "entities",
            &[("description", "description"), ("expr", "expr"), ("role", "role")],
        ),
    ];
    for (list, fields) in same {
        let served = answer[list].as_array().unwrap();
        let mut count = 0;
        for model in file["semantic_models"].as_array().unwrap() {
            for one in model[list].as_array().unwrap() {
                let is_it = |other: &&Value| {
                    let name = other["name"].as_str().unwrap().rsplit("__").next();
                    other["semanticModel"]["name"] == model["name"] && name == one["name"].as_str()
                };
                let found = served.iter().find(is_it).unwrap_or_else(|| panic!("{one}"));
                for (of_file, field) in fields {
                    assert_eq!(found[field], one[of_file], "{list}: {one}");
                }
                assert_eq!(found["type"], one["type"].as_str().unwrap().to_uppercase());
                count += 1;
            }
        }
        assert_eq!(served.len(), count, "{list}");
    }
}
