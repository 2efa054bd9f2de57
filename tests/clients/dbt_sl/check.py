"""Checks dbt's own Python SDK for the Semantic Layer: its lists are those of the semantic manifest that dbt wrote beside the uploaded manifest.

By what metrics can be grouped is compared with what MetricFlow says of the same project.
"""
import json
import os
import pathlib
import sys
import warnings

from dbtsl import SemanticLayerClient
from gql.transport.exceptions import TransportQueryError

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from local import account  # noqa: E402

FIXTURES = HERE.parents[2] / "fixtures/semantic_layer"
METRICS = "query ($id: BigInt!) { environment(id: $id) { definition { metrics { totalCount } } } }"
warnings.simplefilter("ignore")  # about the driver for queries: dbt-api runs none


def load(name):
    return json.loads((FIXTURES / name).read_bytes())


def by_name(things):
    return {thing.name: thing for thing in things}


def grains(dimension):
    return [grain.value for grain in dimension.queryable_granularities]


def check_metric(metric, definition, grouped):
    assert (metric.label, metric.description) == (definition["label"], definition["description"]), metric
    assert metric.type.value == definition["type"].upper(), metric
    assert metric.queryable_granularities[0].value == grouped["grain"], metric
    assert metric.queryable_time_granularities[0] == grouped["grain"].lower(), metric
    # MetricFlow leaves metric_time out where the inputs of a metric have different units of time.
    dimensions = {one.name: one for one in metric.dimensions if one.name != "metric_time"}
    expected = [one for one in grouped["dimensions"] if one[0] != "metric_time"]
    assert sorted(dimensions) == [name for name, *_ in expected], (metric.name, sorted(dimensions))
    for name, kind, grain, _ in expected:
        assert dimensions[name].type.value == kind and grains(dimensions[name])[:1] == ([grain] if grain else []), dimensions[name]
    assert [[one.name, one.type.value] for one in metric.entities] == [[name, kind] for name, kind, _ in grouped["entities"]], metric.entities


def main():
    manifest, grouped = load("semantic_manifest.json"), load("metricflow.json")
    _, environment, token = account("semantic", [load("manifest.json")], METRICS)
    client = SemanticLayerClient(environment_id=int(environment), auth_token=token, host=os.environ["DBT_API_HOST"])
    definitions = {metric["name"]: metric for metric in manifest["metrics"] if not metric["type_params"]["is_private"]}
    with client.session():
        metrics = by_name(client.metrics())
        assert sorted(metrics) == sorted(definitions), sorted(metrics)
        for name, metric in metrics.items():
            check_metric(metric, definitions[name], grouped["alone"][name])
        measures = {measure["name"]: measure for model in manifest["semantic_models"] for measure in model["measures"]}
        for measure in client.measures(metrics=["orders", "average_order", "shipped"]):
            definition = measures[measure.name]
            assert (measure.agg.value, measure.expr) == (definition["agg"].upper(), definition["expr"]), measure
        for together in grouped["together"]:
            names = [one.name for one in client.dimensions(metrics=together["metrics"]) if one.name != "metric_time"]
            assert names == [name for name, *_ in together["dimensions"]], names
            names = [one.name for one in client.entities(metrics=together["metrics"])]
            assert names == [name for name, *_ in together["entities"]], names
        [saved], [definition] = client.saved_queries(), manifest["saved_queries"]
        assert (saved.name, saved.label) == (definition["name"], definition["label"]), saved
        assert [metric.name for metric in saved.query_params.metrics] == definition["query_params"]["metrics"], saved
        assert saved.query_params.group_by[0].grain.value == "MONTH" and saved.exports[0].config.export_as.value == "TABLE", saved
        info = client.environment_info()
        assert info.has_metrics_defined and info.dialect.value == "DUCKDB", info
        try:
            raise AssertionError(client.compile_sql(metrics=["orders"], group_by=["metric_time"]))
        except TransportQueryError as error:
            assert "no connection to a warehouse" in error.errors[0]["message"], error
    lazy = SemanticLayerClient(environment_id=int(environment), auth_token=token, host=os.environ["DBT_API_HOST"], lazy=True)
    with lazy.session():
        metric = by_name(lazy.metrics())["orders"]
        assert not metric.dimensions and len(metric.load_dimensions()) == len(metrics["orders"].dimensions), metric
    print(f"dbt_sl: {len(metrics)} metrics with what they can be grouped by, as MetricFlow says")


main()
