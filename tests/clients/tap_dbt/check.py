"""Checks tap-dbt: all streams, over several pages."""
import collections
import json
import os
import subprocess

runs_made = int(os.environ["DBT_API_RUNS"])
config = {
    "api_key": os.environ["DBT_API_TOKEN"],
    "account_ids": ["1"],
    "base_url": os.environ["DBT_API_URL"] + "/api/v2",
    "page_size": 20,
}
with open("config.json", "w") as file:
    json.dump(config, file)
discovered = subprocess.run(["tap-dbt", "--config", "config.json", "--discover"], check=True, capture_output=True, text=True)
catalog = json.loads(discovered.stdout)
for stream in catalog["streams"]:
    for entry in stream["metadata"]:
        if not entry["breadcrumb"]:
            entry["metadata"]["selected"] = True
with open("catalog.json", "w") as file:
    json.dump(catalog, file)
done = subprocess.run(["tap-dbt", "--config", "config.json", "--catalog", "catalog.json"], capture_output=True, text=True)
assert done.returncode == 0, done.stderr[-3000:]
records = collections.Counter()
runs = set()
for line in done.stdout.splitlines():
    message = json.loads(line)
    if message["type"] == "RECORD":
        records[message["stream"]] += 1
        if message["stream"] == "runs":
            runs.add(message["record"]["id"])
expected = {"accounts": 1, "projects": 1, "environments": 1, "jobs": 1, "runs": runs_made}
assert expected.items() <= records.items() and len(runs) == runs_made, records
assert records["run_artifacts"] == runs_made + 3, records
