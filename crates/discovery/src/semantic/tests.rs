//! Compares the names by which metrics can be grouped with those that MetricFlow returns for the same project (`fixtures/semantic_layer`).

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::doc::Doc;

fn file(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/semantic_layer");
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

fn nodes<T>(manifest: &Value, section: &str, read: impl Fn(&str, &Doc<'_>) -> T) -> Vec<T> {
    let nodes = manifest[section].as_object().unwrap().values();
    let read = |node: &Value| read(node["name"].as_str().unwrap(), &Doc::of(&node.to_string()));
    nodes.map(read).collect()
}

fn resolved(manifest: &Value) -> Resolved {
    let models = nodes(manifest, "semantic_models", SemanticModel::of);
    let metrics = nodes(manifest, "metrics", Metric::of);
    Resolved::new(Semantics::new(models, metrics.into_iter().flatten().collect()))
}

/// The dimensions and entities of metrics, in the form of `metricflow.json`.
fn grouped(resolved: &mut Resolved, metrics: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let sources = resolved.sources(metrics).unwrap();
    let dimensions = resolved.dimensions(&sources).unwrap();
    let entities = resolved.entities(&sources).unwrap();
    let dimension = |one: &Named| {
        let (value, grain) = (&one.value, &one.value["typeParams"]["timeGranularity"]);
        json!([&*one.name, value["type"], grain, value["semanticModel"]["name"]])
    };
    let entity = |one: &Named| json!([&*one.name, one.value["type"], one.value["semanticModel"]["name"]]);
    (
        dimensions.items.iter().map(dimension).collect(),
        entities.items.iter().map(entity).collect(),
    )
}

#[test]
fn metrics_are_grouped_as_metricflow_groups_them() {
    let (manifest, expected) = (file("manifest.json"), file("metricflow.json"));
    let mut resolved = resolved(&manifest);
    let alone = expected["alone"].as_object().unwrap();
    let shown: Vec<&str> = resolved
        .semantics()
        .metrics()
        .map(|metric| metric.name.as_str())
        .collect();
    assert!(shown.iter().eq(alone.keys()), "{shown:?}");
    for (name, metric) in alone {
        let (dimensions, entities) = grouped(&mut resolved, &[name]);
        // MetricFlow leaves the time of metrics out if that of their inputs has different units. It can be grouped by the larger one.
        let has_time = |list: &[Value]| list.iter().any(|one| one[0] == "metric_time");
        let all_but_time =
            |list: &[Value]| -> Value { list.iter().filter(|one| one[0] != "metric_time").cloned().collect() };
        let of_metricflow = metric["dimensions"].as_array().unwrap();
        assert_eq!(all_but_time(&dimensions), all_but_time(of_metricflow), "{name}");
        assert!(has_time(&dimensions), "{name}");
        assert_eq!(json!(entities), metric["entities"], "{name}");
        let sources = resolved.sources(&[name]).unwrap();
        let [(_, grains), ..] = resolved.derived(&sources);
        assert_eq!(grains[0], metric["grain"], "{name}");
    }
    for together in expected["together"].as_array().unwrap() {
        let metrics: Vec<&str> = together["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let (mut dimensions, entities) = grouped(&mut resolved, &metrics);
        dimensions.retain(|one| one[0] != "metric_time");
        assert_eq!(json!(dimensions), together["dimensions"], "{metrics:?}");
        assert_eq!(json!(entities), together["entities"], "{metrics:?}");
    }
}

#[test]
fn what_needs_a_point_in_time_says_so() {
    let mut resolved = resolved(&file("manifest.json"));
    let mut needs = Vec::new();
    let names: Vec<String> = resolved
        .semantics()
        .metrics()
        .map(|metric| metric.name.clone())
        .collect();
    for name in names {
        let sources = resolved.sources(&[&name]).unwrap();
        if resolved.derived(&sources)[2].1 == true {
            needs.push(name);
        }
    }
    // A window, an offset, and what is computed from such a metric.
    assert_eq!(
        needs,
        [
            "average_growth",
            "growth",
            "month_to_date",
            "running_payments",
            "week_orders"
        ]
    );
}

#[test]
fn measures_are_those_of_all_inputs() {
    let mut resolved = resolved(&file("manifest.json"));
    let mut of = |metric: &str| {
        let sources = resolved.sources(&[metric]).unwrap();
        let measures = resolved.measures(&sources);
        let measures = measures.items.iter();
        measures
            .map(|one| {
                (
                    one.name.to_string(),
                    one.value["agg"].clone(),
                    one.value["expr"].clone(),
                    one.value["aggTimeDimension"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let amount = (
        "amount".to_owned(),
        json!("SUM"),
        json!("amount_cents / 100"),
        json!("ordered_at"),
    );
    let orders = ("order_count".to_owned(), json!("SUM"), json!("1"), json!("ordered_at"));
    let visits = ("visits".to_owned(), json!("SUM"), json!("1"), json!("started_at"));
    assert_eq!(of("average_order"), [amount, orders.clone()]);
    assert_eq!(of("conversion"), [visits, orders]);
    // A metric that aggregates by itself has no measure of another name; a private metric is an input, too.
    let paid = ("paid".to_owned(), json!("SUM"), json!("cents / 100"), json!("paid_at"));
    let count = (
        "payment_count".to_owned(),
        json!("COUNT"),
        json!("payment_id"),
        json!("paid_at"),
    );
    assert_eq!(of("average_payment"), [paid, count]);
}

#[test]
fn what_is_not_defined_is_left_out() {
    let mut manifest = file("manifest.json");
    manifest["metrics"]["metric.metrics.orders"]["type_params"]["measure"]["name"] = json!("gone");
    manifest["metrics"]["metric.metrics.growth"]["type_params"]["metrics"] =
        json!([{"name": "growth"}, {"name": "nothing"}]);
    // As dbt wrote metrics before version 1.6.
    manifest["metrics"]["metric.metrics.old"] = json!({"name": "old", "calculation_method": "sum", "expression": "a"});
    let mut resolved = resolved(&manifest);
    assert!(resolved.semantics().metric("old").is_none());
    for name in ["orders", "growth", "average_order"] {
        assert_eq!(grouped(&mut resolved, &[name]), (Vec::new(), Vec::new()), "{name}");
    }
    let message = resolved.sources(&["nothing"]).unwrap_err().message;
    assert_eq!(message, "invalid `metrics`: the environment has no metric `nothing`");
    assert!(resolved.sources(&["payment_count"]).is_err(), "it is private");
}

#[test]
fn joins_that_multiply_end_at_a_limit() {
    let model = |number: usize| {
        let dimensions: Vec<Value> = (0..10)
            .map(|at| json!({"name": format!("d{number}_{at}"), "type": "categorical"}))
            .collect();
        json!({"entities": [{"name": "key", "type": "primary"}, {"name": "other", "type": "unique"}],
            "measures": [{"name": format!("m{number}"), "agg": "sum"}], "dimensions": dimensions})
    };
    let models: Vec<SemanticModel> = (0..300)
        .map(|number| SemanticModel::of(&format!("model{number}"), &Doc::of(&model(number).to_string())))
        .collect();
    let metric = json!({"type": "simple", "type_params": {"measure": {"name": "m0"}}});
    let metric = Metric::of("m", &Doc::of(&metric.to_string())).unwrap();
    let mut resolved = Resolved::new(Semantics::new(models, vec![metric]));
    let sources = resolved.sources(&["m"]).unwrap();
    let message = resolved.dimensions(&sources).unwrap_err().message;
    assert!(message.contains("too many dimensions"), "{message}");
}
