"""DataHub ingests a job, and prints how many seconds that took.

    datahub_job.py api URL KEY JOB     from the Discovery API
    datahub_job.py files               from manifest.json, catalog.json and run_results.json in the current folder
"""
import json
import os
import pathlib
import sys
import time

os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"

from datahub.ingestion.run.pipeline import Pipeline  # noqa: E402

SHARED = {
    "target_platform": "duckdb",
    # The default, to change what DataHub has, needs a DataHub.
    "write_semantics": "OVERRIDE",
    # DataHub parses the code for them, which takes it minutes in both cases.
    "include_column_lineage": False,
    "infer_dbt_schemas": False,
}


def source():
    if sys.argv[1] == "files":
        paths = {"manifest_path": "manifest.json", "catalog_path": "catalog.json", "run_results_paths": ["run_results.json"]}
        return {"type": "dbt", "config": SHARED | paths}
    url, key, job = sys.argv[2:]
    job = {"access_url": url, "metadata_endpoint": f"{url}/graphql", "token": key, "account_id": 1, "project_id": 1, "job_id": int(job)}
    return {"type": "dbt-cloud", "config": SHARED | job}


begun = time.monotonic()
pipeline = Pipeline.create({"source": source(), "sink": {"type": "file", "config": {"filename": "events.json"}}})
pipeline.run()
took = time.monotonic() - begun
failures = list(pipeline.source.get_report().failures)
assert not failures, failures
# Both must have read all of it.
print(len(json.loads(pathlib.Path("events.json").read_bytes())), "events", file=sys.stderr)
print(took)
