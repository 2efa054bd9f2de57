"""Checks DataHub's source for dbt Cloud, which finds the jobs of a project itself: datasets, lineage, tests, exposures, and its warnings."""
import json
import os
import pathlib

os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"

from datahub.ingestion.run.pipeline import Pipeline  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
manifest = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
catalog = json.loads((ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes())
pipeline = Pipeline.create({
    "source": {
        "type": "dbt-cloud",
        "config": {
            "token": os.environ["DBT_API_TOKEN"],
            "access_url": os.environ["DBT_API_HTTPS_URL"],
            # The default is a host name of dbt Cloud.
            "metadata_endpoint": os.environ["DBT_API_HTTPS_URL"] + "/graphql",
            "account_id": 1,
            "project_id": 1,
            "auto_discovery": {"enabled": True},
            "target_platform": "duckdb",
            # The default, to change what DataHub has, needs a DataHub.
            "write_semantics": "OVERRIDE",
            "convert_urns_to_lowercase": False,
        },
    },
    "sink": {"type": "file", "config": {"filename": "events.json"}},
})
pipeline.run()
report = pipeline.source.get_report()
events = json.loads(pathlib.Path("events.json").read_bytes())


RELATIONS = ("model", "seed", "snapshot", "source")
nodes = manifest["nodes"] | manifest["sources"]
tables = catalog["nodes"] | catalog["sources"]
kind_of = {name: node["resource_type"] for name, node in (nodes | manifest["semantic_models"]).items()}

# Warnings only about what the uploads do not have: seeds are not compiled, the model `customers` was not, and has no result.
without_code = {name for name, node in nodes.items() if kind_of[name] in ("model", "seed", "snapshot") and not node.get("compiled_code")}
EXPECTED = {
    "Missing compiled_code": without_code,
    "Missing compiled code, skipping column lineage": {"model.shop.customers", *manifest["unit_tests"]},
    "Schema information may be incomplete": {"model.shop.customers"},
}
warnings = {entry.title: {context.split(": ")[0] for context in entry.context} for entry in report.warnings}
assert warnings == EXPECTED and not list(report.failures), (warnings, list(report.failures))

# A dataset for each node. The source and a seed of the fixture are the same table, and one dataset.
urn_of, upstreams = {}, {}
for event in events:
    for snapshot in event.get("proposedSnapshot", {}).values():
        aspects = {next(iter(aspect)).rsplit(".", 1)[1]: next(iter(aspect.values())) for aspect in snapshot["aspects"]}
        name = aspects["DatasetProperties"]["customProperties"]["dbt_unique_id"]
        urn_of[name] = snapshot["urn"]
        upstreams[name] = {upstream["dataset"] for upstream in aspects.get("UpstreamLineage", {"upstreams": []})["upstreams"]}
        columns = {field["fieldPath"] for field in aspects["SchemaMetadata"]["fields"]}
        assert name not in tables or columns == set(tables[name]["columns"]), (name, columns)
assert urn_of.keys() == {name for name in kind_of if kind_of[name] in (*RELATIONS, "semantic_model")}, urn_of.keys()


def table_of(name):
    """The dataset that a child names: the table in the database, except for sources and for nodes without a table."""
    is_table = kind_of[name] in ("model", "seed", "snapshot") and nodes[name]["config"]["materialized"] != "ephemeral"
    return urn_of[name].replace("dataPlatform:dbt", "dataPlatform:duckdb") if is_table else urn_of[name]


for name in urn_of:
    parents = {table_of(parent) for parent in manifest["parent_map"][name] if kind_of.get(parent) in RELATIONS}
    if kind_of[name] == "snapshot":
        parents = set()  # The client asks only for parents that are models or sources; that of the fixture is a seed.
    elif kind_of[name] == "source":
        parents = {urn_of[name].replace("dataPlatform:dbt", "dataPlatform:duckdb")}
    assert upstreams[name] == parents, (name, upstreams[name], parents)


def aspects_of(name):
    return [event["aspect"]["json"] for event in events if event.get("aspectName") == name]


# An assertion for each test and each node that it tests, with the result in the run, if there is one.
tests = {(info["customProperties"]["dbt_unique_id"], info["customProperties"]["dbt_test_upstream_unique_id"]) for info in aspects_of("assertionInfo")}
data_tests = {name for name in kind_of if kind_of[name] == "test"}
assert tests == {(name, parent) for name in data_tests for parent in manifest["parent_map"][name] if kind_of.get(parent) in RELATIONS}, tests
results = [event["result"]["type"] for event in aspects_of("assertionRunEvent")]
assert results == ["SUCCESS"] * 4, results
[exposure] = aspects_of("dashboardInfo")
assert set(exposure["datasets"]) == {urn_of[parent] for parent in manifest["parent_map"]["exposure.shop.weekly_report"]}, exposure
print(f"datahub: {len(urn_of)} datasets with the lineage of the manifest")
