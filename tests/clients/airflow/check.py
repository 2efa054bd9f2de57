"""Checks Apache Airflow's hook for dbt Cloud, sync, async, and with more runs than fit on a page; and OpenLineage's events of a run."""
import asyncio
import json
import os

token, host, runs_made = os.environ["DBT_API_TOKEN"], os.environ["DBT_API_HOST"], int(os.environ["DBT_API_RUNS"])
os.environ["AIRFLOW_HOME"] = os.getcwd()
os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(
    {"conn_type": "dbt_cloud", "host": host, "login": "1", "password": token})

from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook, DbtCloudJobRunException, DbtCloudJobRunStatus  # noqa: E402

hook = DbtCloudHook()
connected, message = hook.test_connection()
assert connected, message
assert hook.get_account().json()["data"]["name"] == "Clients"
job = hook.get_job_by_name(project_name="Shop", environment_name="Production", job_name="daily")
assert hook.get_job(job["id"]).json()["data"]["name"] == "daily"
assert hook.get_project(1).json()["data"]["name"] == "Shop"
assert hook.get_environment(project_id=1, environment_id=1).json()["data"]["name"] == "Production"

pages = hook.list_job_runs(job_definition_id=job["id"], include_related=["trigger", "job"], order_by="-id")
ids = [run["id"] for page in pages for run in page.json()["data"]]
assert len(pages) == 2 and ids == sorted(ids, reverse=True) and len(ids) == runs_made, (len(pages), len(ids))
assert pages[0].json()["data"][0]["job"]["name"] == "daily"

newest = hook.get_job_runs(payload={"job_definition_id": job["id"], "status": 20, "order_by": "-finished_at", "limit": 1})
failed = newest.json()["data"][0]["id"]
assert hook.get_job_run_status(failed) == DbtCloudJobRunStatus.ERROR.value
try:
    hook.wait_for_job_run_status(failed, expected_statuses=DbtCloudJobRunStatus.SUCCESS.value, check_interval=1, timeout=5)
    raise SystemExit("a failed run counted as a success")
except DbtCloudJobRunException:
    pass
good = next(run["id"] for page in pages for run in page.json()["data"] if run["has_docs_generated"])
assert hook.wait_for_job_run_status(good, expected_statuses=DbtCloudJobRunStatus.SUCCESS.value, check_interval=1, timeout=5)
names = hook.list_job_run_artifacts(good).json()["data"]
assert {"manifest.json", "run_results.json", "catalog.json"} <= set(names), names
manifest = hook.get_job_run_artifact(good, path="manifest.json").json()
assert "nodes" in manifest
assert hook.get_job_run_artifact(good, path="run_results.json", step=1).json()["args"]["which"] == "build"


async def concurrently():
    artifacts = await hook.get_job_run_artifacts_concurrently(good, ["manifest.json", "catalog.json"], account_id=1)
    assert artifacts["manifest.json"] == manifest and artifacts["catalog.json"]["nodes"]


asyncio.run(concurrently())
# The async side has its own session, and its own cache of the connection.
assert asyncio.run(DbtCloudHook().get_job_status(good, account_id=1)) == 10

# The rest has an account and an Airflow of its own.
import lineage  # noqa: E402, F401
