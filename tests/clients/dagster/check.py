"""Checks dagster-dbt's client for dbt Cloud, and how it reads run results."""
import datetime
import os

from dagster import AssetCheckEvaluation, AssetMaterialization
from dagster_dbt.cloud_v2.client import DbtCloudWorkspaceClient
from dagster_dbt.cloud_v2.run_handler import DbtCloudJobRunHandler, DbtCloudJobRunResults

runs_made = int(os.environ["DBT_API_RUNS"])
client = DbtCloudWorkspaceClient(
    account_id=1, token=os.environ["DBT_API_TOKEN"], access_url=os.environ["DBT_API_URL"],
    request_max_retries=1, request_retry_delay=0.1, request_timeout=10)
client.verify_connection()
assert client.get_account_details()["name"] == "Clients"
assert client.get_project_details(1)["name"] == "Shop"
assert client.get_environment_details(1)["name"] == "Production"
[job] = client.list_jobs(project_id=1, environment_id=1)
assert job["name"] == "daily" and client.get_job_details(job["id"])["id"] == job["id"]
assert client.get_active_job_ids(project_id=1, environment_id=1, job_ids=[job["id"]]) == set()

since, until = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), datetime.datetime.now(datetime.timezone.utc)
runs, total = [], None
while total is None or len(runs) < total:
    batch, total = client.get_runs_batch(
        project_id=1, environment_id=1, finished_at_lower_bound=since, finished_at_upper_bound=until, offset=len(runs))
    assert batch
    runs += batch
assert total == runs_made and len({run["id"] for run in runs}) == runs_made, total

run = next(run for run in runs if run["has_docs_generated"])
handler = DbtCloudJobRunHandler(job_id=job["id"], run_id=run["id"], args=[], client=client)
assert handler.wait(timeout=5).status.name == "SUCCESS"
assert {"manifest.json", "run_results.json", "catalog.json"} <= set(handler.list_run_artifacts())
results = DbtCloudJobRunResults.from_run_results_json(handler.get_run_results())
assert results.run_id == run["id"]
events = list(results.to_default_asset_events(client=client, manifest=handler.get_manifest()))
tables = [event for event in events if isinstance(event, AssetMaterialization)]
checks = [event for event in events if isinstance(event, AssetCheckEvaluation)]
assert len(tables) == 6 and len(checks) >= 3, (len(tables), len(checks))
assert all(check.passed for check in checks)
client.get_run_logs(run["id"], max_retries=1)

failed = next(run for run in runs if run["status"] == 20)
try:
    DbtCloudJobRunHandler(job_id=job["id"], run_id=failed["id"], args=[], client=client).wait(timeout=5).raise_for_status()
except Exception as error:
    assert "failed" in str(error), error
else:
    raise AssertionError("the failed run was not reported as failed")
