"""Checks OpenMetadata's pipelines of dbt Cloud: jobs, runs, and the lineage of the tables that an OpenMetadata server has.

The server is a small one of our own, since OpenMetadata's needs Java, a database and a search engine.
"""
import importlib.metadata
import json
import os
import pathlib
import sys

from metadata.workflow.metadata import MetadataWorkflow

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from local import account  # noqa: E402
from server import OpenMetadata, id_of  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
manifest = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
results = json.loads((ROOT / "fixtures/run_results/v6-1.12.0-build.json").read_bytes())
catalog = json.loads((ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes())
nodes = manifest["nodes"] | manifest["sources"]
# All tables but one, to which there is then no lineage.
MISSING = "model.shop.customers"
TABLES = {name: f"warehouse.{node['database']}.{node['schema']}.{node['name']}" for name, node in nodes.items()
          if name.startswith(("model.", "seed.", "source.")) and name != MISSING}

account_id, _, token = account("openmetadata", [manifest, results, catalog])
server = OpenMetadata(importlib.metadata.version("openmetadata-ingestion"), set(TABLES.values()))
workflow = MetadataWorkflow.create({
    "source": {
        "type": "dbtcloud",
        "serviceName": "dbt",
        "serviceConnection": {"config": {
            "type": "DBTCloud", "host": os.environ["DBT_API_HTTPS_URL"], "discoveryAPI": os.environ["DBT_API_HTTPS_URL"] + "/graphql",
            "accountId": account_id, "token": token}},
        "sourceConfig": {"config": {"type": "PipelineMetadata", "lineageInformation": {"dbServiceNames": ["warehouse"]}}},
    },
    "sink": {"type": "metadata-rest", "config": {}},
    "workflowConfig": {"loggerLevel": "ERROR", "openMetadataServerConfig": {
        "hostPort": server.url, "authProvider": "openmetadata", "securityConfig": {"jwtToken": "a.b.c"}}},
})
workflow.execute()
workflow.raise_from_status()
workflow.stop()

pipeline = server.entities["pipelines/name/dbt.openmetadata"]
assert pipeline["tasks"][0]["name"] == "Run", pipeline
[status] = server.statuses["dbt.openmetadata"]
assert (status["executionStatus"], status["taskStatus"][0]["executionStatus"]) == ("Failed", "Failed"), status

edges, parsed = set(), set()
for source, target, details in server.lineage:
    if details["source"] == "PipelineLineage":
        edges.add((source, target))
        assert details["pipeline"]["id"] == pipeline["id"], details
    else:
        parsed.add((source, target))
children = [name for name in TABLES if name.startswith("model.")]
expected = {(TABLES[parent], TABLES[name]) for name in children for parent in nodes[name]["depends_on"]["nodes"]}
assert edges == expected and len(edges) == 3, (edges, expected)
# From the compiled code, OpenMetadata finds the same.
assert parsed == expected, (parsed, expected)
touched = {id_of(table) for edge in edges for table in edge}
[[last]] = {tuple(observed["lastRunStatus"] for observed in of) for of in server.observed.values()}
assert touched <= server.observed.keys() and last == "Failed", server.observed
print(f"openmetadata: {len(edges)} edges as in the manifest")
