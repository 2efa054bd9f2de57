"""Checks dbt-mcp: its whole server starts as assistants start it, and all tools that read the Admin API, the Discovery API and the Semantic
Layer answer.

What they answer is compared with the manifest.
"""
import asyncio
import json
import os
import pathlib

from dbt_mcp.tools.toolsets import Toolset, proxied_tools, toolsets
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MANIFEST = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
# These start and stop runs, which is not for dbt-api to do.
WRITING = {"trigger_job_run", "cancel_job_run", "retry_job_run"}
# These get data from a warehouse, by another protocol.
QUERYING = {"query_metrics", "get_dimension_values"}
TOOLSETS = toolsets[Toolset.ADMIN_API] | toolsets[Toolset.DISCOVERY] | toolsets[Toolset.SEMANTIC_LAYER]
READING = {tool.value for tool in TOOLSETS - proxied_tools} - WRITING - QUERYING
NODES = {
    "model": "model.shop.stg_orders", "source": "source.shop.crm.raw_customers", "seed": "seed.shop.raw_orders",
    "snapshot": "snapshot.shop.customers_snapshot", "test": "test.shop.no_negative_amounts", "exposure": "exposure.shop.weekly_report",
    "macro": "macro.shop.cents", "semantic_model": "semantic_model.shop.orders",
}
MODEL = NODES["model"]
server = StdioServerParameters(command="dbt-mcp", env=os.environ | {
    # The server asks `metadata.{DBT_HOST}` and `semantic-layer.{DBT_HOST}` too. A host that begins with `localhost` changes its paths.
    "DBT_HOST": "dbt." + os.environ["DBT_API_HOST"],
    "DBT_TOKEN": os.environ["DBT_API_TOKEN"],
    "DBT_ACCOUNT_ID": "1",
    "DBT_PROD_ENV_ID": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONPATH": str(HERE / "names"),
})


class Tools:
    def __init__(self, session):
        self.session, self.used = session, set()

    async def call(self, tool, **arguments):
        self.used.add(tool)
        answer = await asyncio.wait_for(self.session.call_tool(tool, arguments), 60)
        assert not answer.isError, f"{tool} {arguments}: {answer.content}"
        return answer.structuredContent if answer.structuredContent is not None else answer.content[0].text

    async def list(self, tool, **arguments):
        """Returns all items of all pages."""
        answer = await self.call(tool, **arguments)
        items, page = answer["result"], answer.get("pagination") or {}
        while page.get("has_more"):
            answer = await self.call(tool, **arguments, **(
                {"after": page["next_cursor"]} if page["next_cursor"] else {"offset": page["next_offset"]}))
            items, page = items + answer["result"], answer["pagination"]
        return items


def ids(nodes):
    # Of snapshots, dbt-mcp asks for the id only in the catalog.
    return sorted(node["uniqueId"] if "uniqueId" in node else node["catalog"]["uniqueId"] for node in nodes)


def names_in(kind, of):
    return sorted(node["name"] for name, node in MANIFEST[of].items() if name.startswith(f"{kind}."))


async def read_admin(tools):
    [project] = await tools.list("list_projects")
    assert project["name"] == "Shop" and project["environments"][0]["type"] == "production", project
    [job] = await tools.list("list_jobs")
    assert (await tools.call("get_job_details", job_id=job["id"]))["name"] == "daily"
    runs = await tools.list("list_jobs_runs", order_by="-id")
    assert len(runs) == len({run["id"] for run in runs}) == int(os.environ["DBT_API_RUNS"]), len(runs)
    failed, good = runs[0], runs[-1]
    assert failed["is_error"] and good["is_success"], (failed, good)
    assert (await tools.call("get_job_run_details", run_id=failed["id"]))["status_humanized"] == "Error"
    files = await tools.call("list_job_run_artifacts", run_id=good["id"])
    assert {"manifest.json", "run_results.json", "catalog.json"} <= set(files["result"]), files
    nodes = await tools.call("get_job_run_artifacts", run_id=good["id"], artifact_path="manifest.json", jq_filter=".nodes | length")
    assert json.loads(nodes["result"] if isinstance(nodes, dict) else nodes) == [len(MANIFEST["nodes"])], nodes
    error = json.dumps(await tools.call("get_job_run_error", run_id=failed["id"]))
    assert "cents_are_rounded" in error, error


async def read_lists(tools):
    assert [model["name"] for model in await tools.list("get_all_models")] == names_in("model", "nodes")
    assert [model["name"] for model in await tools.list("get_mart_models")] == ["customers", "orders"]
    assert [node["name"] for node in await tools.list("get_all_sources")] == names_in("source", "sources")
    assert [node["name"] for node in await tools.list("get_all_sources", source_names=["crm"])] == names_in("source", "sources")
    assert [node["name"] for node in await tools.list("get_exposures")] == names_in("exposure", "exposures")
    macros = await tools.list("get_all_macros", include_default_dbt_packages=True, limit=100)
    assert ids(macros) == sorted(MANIFEST["macros"]), len(macros)
    assert ids(await tools.list("get_all_macros", package_names=["shop"], limit=100)) == ["macro.shop.cents"]


async def read_details(tools):
    for kind, unique_id in NODES.items():
        for tool, more in ("get_node_details", {"resource_type": kind}), (f"get_{kind}_details", {}):
            nodes = await tools.list(tool, unique_id=unique_id, **more)
            assert ids(nodes) == [unique_id], (tool, nodes)
        # dbt-mcp makes ids from names, and does not know that those of sources have another part.
        if kind != "source":
            nodes = await tools.list(f"get_{kind}_details", name=unique_id.split(".")[-1])
            assert ids(nodes) == [unique_id], (kind, nodes)
    [model] = await tools.list("get_model_details", unique_id=MODEL)
    assert model["compiledCode"] and [column["type"] for column in model["catalog"]["columns"]], model


async def read_graph(tools):
    parents = await tools.list("get_model_parents", unique_id=MODEL)
    assert [(node["resourceType"], node["name"]) for node in parents] == [("seed", "raw_orders")], parents
    children = await tools.list("get_model_children", unique_id=MODEL)
    expected = sorted(
        (kind, node["name"]) for kind in ("model", "test") for node in MANIFEST["nodes"].values()
        if node["resource_type"] == kind and MODEL in node["depends_on"].get("nodes", []))
    assert sorted((node["resourceType"], node["name"]) for node in children) == expected, children
    [health] = await tools.list("get_model_health", unique_id=MODEL)
    assert health["executionInfo"]["lastRunStatus"] == "success" and len(health["tests"]) == 4, health
    [run] = (await tools.list("get_model_performance", unique_id=MODEL, include_tests=True))[:1]
    assert run["status"] == "success" and run["executionTime"] > 0 and len(run["tests"]) == 4, run
    graph = await tools.call("get_lineage", unique_id=MODEL, depth=1)
    edges = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert edges >= {("seed.shop.raw_orders", MODEL), (MODEL, "model.shop.orders"), (MODEL, "model.shop.customers")}, edges
    assert all(parent in MANIFEST["parent_map"][child] for parent, child in edges), edges


async def read_semantic_layer(tools):
    metrics = (await tools.call("list_metrics", search=["REV", "nothing"]))["result"]
    assert "revenue" in metrics and "metric_time" in metrics and "order" in metrics, metrics
    [saved] = await tools.list("list_saved_queries")
    assert (saved["name"], saved["metrics"], saved["group_by"]) == ("revenue_by_day", ["revenue"], ["order__ordered_at"]), saved
    dimensions = await tools.list("get_dimensions", metrics=["revenue"])
    assert [one["name"] for one in dimensions] == ["metric_time", "order__ordered_at"], dimensions
    assert dimensions[0]["granularities"][0] == "DAY", dimensions
    [entity] = await tools.list("get_entities", metrics=["revenue"])
    assert (entity["name"], entity["type"]) == ("order", "PRIMARY"), entity
    compiled = json.dumps(await tools.call("get_metrics_compiled_sql", metrics=["revenue"]))
    assert "no connection to a warehouse" in compiled, compiled


async def main():
    with open("server.log", "w") as log:
        async with stdio_client(server, errlog=log) as streams, ClientSession(*streams) as session:
            await asyncio.wait_for(session.initialize(), 60)
            tools = Tools(session)
            offered = {tool.name for tool in (await session.list_tools()).tools}
            assert offered >= READING, READING - offered
            for read in read_admin, read_lists, read_details, read_graph, read_semantic_layer:
                await read(tools)
    assert tools.used == READING, tools.used ^ READING
    print(f"dbt_mcp: {len(READING)} tools answer, with what the manifest says")


try:
    asyncio.run(main())
except BaseException:
    print(pathlib.Path("server.log").read_text()[-3000:])
    raise
