"""Checks that Airflow's OpenLineage reports of a run what its files say: jobs, datasets, tests and the task that waited for the run.

The tasks run in Airflow, which has a database here and writes events into a file. The run succeeds in one DAG run and fails in the other.
"""
import json
import os
import pathlib
import subprocess
import sys
import urllib.request
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from local import account, cli, upload, wait  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
manifest = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
catalog = json.loads((ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes())
build = json.loads((ROOT / "fixtures/run_results/v6-1.12.0-build.json").read_bytes())
nodes = manifest["nodes"] | manifest["sources"]
AIRFLOW = pathlib.Path(sys.prefix) / "bin/airflow"
DATABASE = "/warehouse/shop.duckdb"


def good_results():
    return build | {"results": [result for result in build["results"] if result["status"] in ("success", "pass")]}


def failed_results(invocation):
    """Results of another invocation, in which a model and a test failed."""
    results = json.loads(json.dumps(build))
    results["metadata"]["invocation_id"] = invocation
    for result in results["results"]:
        if result["unique_id"] == "model.shop.orders":
            result |= {"status": "error", "message": "Runtime Error"}
        if result["unique_id"].startswith("test.shop.unique_stg_orders"):
            result |= {"status": "fail", "failures": 2}
    return results


def get(path):
    address = f"{os.environ['DBT_API_URL']}/api/v2/accounts/{account_id}/{path}"
    request = urllib.request.Request(address, headers={"Authorization": f"Token {token}"})
    return json.load(urllib.request.urlopen(request))["data"]


def events_of(run, succeeds):
    """Lets Airflow wait for a run, and returns the events about dbt's nodes by the names of their jobs."""
    file = pathlib.Path(f"events-{run}.json").resolve()
    variables = os.environ | {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(file), "append": True}),
        "DBT_RUN": str(run),
    }
    done = subprocess.run([AIRFLOW, "dags", "test", "shop"], env=variables, capture_output=True, text=True)
    assert (done.returncode == 0) == succeeds, (done.stdout + done.stderr)[-5000:]
    assert file.exists(), (done.stdout + done.stderr)[-5000:]
    events = {}
    for line in file.read_text().splitlines():
        event = json.loads(line)
        if event["job"]["name"] in ("shop", "shop.wait_for_run"):
            continue  # about the DAG and its task
        assert event["run"]["facets"]["parent"]["job"]["name"] == "shop.wait_for_run", event
        events.setdefault(event["job"]["name"], []).append(event)
    return events


def table(name):
    """The dataset of a node."""
    node = nodes[name]
    return f"duckdb://{DATABASE}", f"{node['database']}.{node['schema']}.{node['name'] if name.startswith('source.') else node['alias']}"


def compare(events, results):
    """The events are those of the results, with the datasets that the manifest names."""
    expected, asserted = {}, {}
    for result in results["results"]:
        name, status = result["unique_id"], result["status"]
        kind = name.split(".")[0]
        if kind in ("model", "snapshot") and status != "skipped":
            node = manifest["nodes"][name]
            job = f"{node['database']}.{node['schema']}.{name.removeprefix(kind + '.')}.build.{'run' if kind == 'model' else kind}"
            inputs = {table(parent) for parent in node["depends_on"]["nodes"] if parent.startswith(("model.", "source."))}
            expected[job] = ("COMPLETE" if status == "success" else "FAIL", inputs, {table(name)} if status == "success" else set())
            facets = events[job][0]["job"]["facets"]
            assert facets["sql"]["query"] == node["compiled_code"] and facets["dbt_node"]["unique_id"] == name, facets
            schema = events[job][0]["outputs"][0]["facets"].get("schema", {"fields": []})
            assert [field["name"] for field in schema["fields"]] == list(node["columns"]), (name, schema)
        elif kind == "test":
            node = manifest["nodes"][name]
            # Of several tables, the client takes the last.
            tested = [parent for parent in manifest["parent_map"][name] if parent.startswith(("model.", "source.", "seed."))][-1]
            asserted.setdefault(tested, []).append((node["name"], status == "pass"))
            if not node.get("test_metadata"):
                expected[name] = ("COMPLETE" if status == "pass" else "FAIL", {table(parent) for parent in node["depends_on"]["nodes"]}, set())
                [test] = events[name][-1]["run"]["facets"]["test"]["tests"]
                assert (test["name"], test["status"]) == (name, "pass" if status == "pass" else "fail"), test
    for tested, assertions in asserted.items():
        node = nodes[tested]
        job = f"{node['database']}.{node['schema']}.{tested.removeprefix('model.')}.build.test"
        expected[job] = ("COMPLETE" if all(passed for _, passed in assertions) else "FAIL", {table(tested)}, set())
        [dataset] = events[job][0]["inputs"]
        found = [(a["name"], a["success"]) for a in dataset["inputFacets"]["dataQualityAssertions"]["assertions"]]
        assert sorted(found) == sorted(assertions), (job, found)
    found = {}
    for job, (start, end) in events.items():
        assert start["eventType"] == "START", start
        datasets = [{(dataset["namespace"], dataset["name"]) for dataset in end[side]} for side in ("inputs", "outputs")]
        found[job] = (end["eventType"], *datasets)
        facets = end["run"]["facets"]
        assert facets["processing_engine"]["version"] == results["metadata"]["dbt_version"], facets
        assert facets["dbt_run"]["invocation_id"] == results["metadata"]["invocation_id"], facets
    assert found == expected, (found, expected)
    return len(found)


account_id, _, token = account("lineage", [manifest, good_results(), catalog])
cli("project", "set-connection", "--account", account_id, "lineage", f"path={DATABASE}")
[good] = get("runs/")
invocation = str(uuid.uuid4())
failed_manifest = manifest | {"metadata": manifest["metadata"] | {"invocation_id": invocation}}
failed_build = failed_results(invocation)
for uploaded in (failed_manifest, failed_build):
    fields = {"environment_slug": "lineage", "dag_id": "lineage", "run_id": "2"}
    upload(os.environ["DBT_API_URL"], token, fields, json.dumps(uploaded).encode())
[failed] = wait("the failed run is projected", lambda: get("runs/?status=20"))
home = pathlib.Path("lineage").resolve()
os.environ |= {
    "AIRFLOW_HOME": str(home),
    "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(
        {"conn_type": "dbt_cloud", "host": os.environ["DBT_API_HOST"], "login": account_id, "password": token}),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__OPENLINEAGE__NAMESPACE": "airflow",
}
subprocess.run([AIRFLOW, "db", "migrate"], check=True, capture_output=True)
jobs = compare(events_of(good["id"], True), good_results()) + compare(events_of(failed["id"], False), failed_build)
print(f"airflow: OpenLineage of {jobs} jobs as in the files")
