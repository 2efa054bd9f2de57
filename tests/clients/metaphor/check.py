"""Checks Metaphor's connector for dbt Cloud: models, snapshots, sources, metrics, their columns, tests and lineage, as the manifest has them.

Metaphor does not know DuckDB, so that the project, which has an account of its own, says that it is one of PostgreSQL.
"""
import asyncio
import json
import os
import pathlib
import sys

from metaphor.common.base_config import OutputConfig
from metaphor.common.entity_id import to_dataset_entity_id_from_logical_id, to_entity_id_from_virtual_view_logical_id
from metaphor.dbt.cloud.config import DbtCloudConfig
from metaphor.dbt.cloud.extractor import DbtCloudExtractor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from local import account  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
manifest = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
manifest["metadata"]["adapter_type"] = "postgres"
results = json.loads((ROOT / "fixtures/run_results/v6-1.12.0-build.json").read_bytes())
catalog = json.loads((ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes())
account_id, _, token = account("metaphor", [manifest, results, catalog])
extractor = DbtCloudExtractor(DbtCloudConfig(
    account_id=int(account_id), service_token=token, base_url=os.environ["DBT_API_HTTPS_URL"],
    discovery_api_url=os.environ["DBT_API_HTTPS_URL"] + "/graphql", output=OutputConfig()))
entities = asyncio.run(extractor.extract())

# The extractor keeps what it found by the id of the node.
models, sources, metrics = extractor._virtual_views, extractor._datasets, extractor._metrics
kind_of = {name: node["resource_type"] for name, node in manifest["nodes"].items()}
assert models.keys() == {name for name in kind_of if kind_of[name] in ("model", "snapshot")}, models.keys()
assert sources.keys() >= manifest["sources"].keys() and metrics.keys() == manifest["metrics"].keys(), (sources.keys(), metrics.keys())
id_of = {name: str(to_entity_id_from_virtual_view_logical_id(model.logical_id)) for name, model in models.items()}
id_of |= {name: str(to_dataset_entity_id_from_logical_id(sources[name].logical_id)) for name in manifest["sources"]}
for name, model in models.items():
    node = manifest["nodes"][name]
    upstream = set(model.entity_upstream.source_entities) if model.entity_upstream else set()
    # The client leaves seeds out. It reads macros too, which dbt-api does not have among the parents of a node.
    assert upstream == {id_of[parent] for parent in node["depends_on"]["nodes"] if parent in id_of}, (name, upstream)
    columns = [field.field_name for field in model.dbt_model.fields]
    assert columns == list(catalog["nodes"].get(name, {"columns": {}})["columns"]), (name, columns)
    tests = {test.unique_id for test in model.dbt_model.tests or []}
    mine = {test for test, of in (manifest["nodes"] | manifest["unit_tests"]).items()
            if of["resource_type"] in ("test", "unit_test") and name in of["depends_on"]["nodes"] and of.get("attached_node", name) in (name, None)}
    assert tests == mine, (name, tests)
# Of tests without an execution, the client says nothing.
results = {monitor.title: monitor.status.value for dataset in sources.values() if dataset.data_quality for monitor in dataset.data_quality.monitors}
assert results and set(results.values()) == {"PASSED"} and "not_null_stg_orders_order_id" in results, results
print(f"metaphor: {len(entities)} entities with the lineage of the manifest")
