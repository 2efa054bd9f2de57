"""Checks dbt itself: it uploads after each command, and the uploads can be read back."""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import urllib.request

root = pathlib.Path(__file__).resolve().parents[3]
shutil.copytree(root / "fixtures/project", "project", ignore=shutil.ignore_patterns("extra"))
os.chdir("project")
with open("dbt_project.yml", "a") as file:
    file.write(f"\ndbt-cloud:\n  tenant_hostname: {os.environ['DBT_API_HOST']}\n")
# A target for a CI job, which builds elsewhere than the manifest it defers to.
with open("profiles.yml", "a") as file:
    file.write("    ci:\n      type: duckdb\n      path: shop.duckdb\n      schema: ci\n      threads: 2\n")
# A test that fails, and a source that is fresh.
pathlib.Path("tests/too_many_orders.sql").write_text("select * from {{ ref('stg_orders') }}\n")

environment = os.environ | {
    "DBT_PROFILES_DIR": ".",
    "DO_NOT_TRACK": "1",
    "DBT_UPLOAD_TO_ARTIFACTS_INGEST_API": "1",
    "DBT_CLOUD_TOKEN": os.environ["DBT_API_TOKEN"],
    "DBT_CLOUD_ACCOUNT_ID": "1",
    "DBT_CLOUD_ENVIRONMENT_ID": "1",
}


def get(path):
    request = urllib.request.Request(
        f"{os.environ['DBT_API_URL']}/api/v2/accounts/1/{path}", headers={"Authorization": f"Token {os.environ['DBT_API_TOKEN']}"})
    return json.load(urllib.request.urlopen(request))


def dbt(*command, code=0):
    """Runs dbt, and returns the run with its uploads."""
    before = get("runs/?limit=1")["extra"]["pagination"]["total_count"]
    done = subprocess.run(["dbt", *command], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-1000:]
    for _ in range(600):
        runs = get("runs/?limit=1&order_by=-id&include_related=run_steps")
        if runs["extra"]["pagination"]["total_count"] > before:
            return runs["data"][0]
        subprocess.run(["sleep", "0.05"])
    raise SystemExit(f"dbt {command} uploaded nothing: {done.stdout[-3000:]}")


def names_of(run):
    return set(get(f"runs/{run['id']}/artifacts/")["data"])


dbt("seed")
built = dbt("build", code=1)
assert built["status"] == 20 and built["run_steps"][0]["name"] == "Invoke dbt with `dbt build`", built
assert {"manifest.json", "run_results.json"} <= names_of(built), names_of(built)
results = get(f"runs/{built['id']}/artifacts/run_results.json?raw=true")
assert results == json.loads(pathlib.Path("target/run_results.json").read_text())
node = get(f"runs/{built['id']}/nodes/test.shop.too_many_orders/")["data"]
assert node["last_result"]["status"] == "fail" and node["last_result"]["failures"] > 0, node

documented = dbt("docs", "generate")
assert documented["status"] == 10 and documented["has_docs_generated"], documented
assert "catalog.json" in names_of(documented)
column = get("environments/1/nodes/model.shop.stg_orders/")["data"]["columns"][0]
assert column["catalog_type"], column

fresh = dbt("source", "freshness")
assert fresh["has_sources_generated"] and "sources.json" in names_of(fresh), fresh
assert get("environments/1/nodes/model.shop.stg_orders/")["data"]["last_result"]["run_id"] == built["id"]

# A CI job downloads the manifest, compressed, and defers to it. dbt needs all of it.
request = urllib.request.Request(
    f"{os.environ['DBT_API_URL']}/api/internal/projects/shop/latest-manifest?trimmed=false",
    headers={"Authorization": f"Bearer {os.environ['DBT_API_TOKEN']}", "Accept-Encoding": "gzip"})
answer = urllib.request.urlopen(request)
assert answer.headers["Content-Encoding"] == "gzip", answer.headers
pathlib.Path("state").mkdir()
pathlib.Path("state/manifest.json").write_bytes(gzip.decompress(answer.read()))
dbt("run", "--target", "ci", "--select", "orders", "--defer", "--state", "state")
compiled = pathlib.Path("target/compiled/shop/models/marts/orders.sql").read_text()
assert '"main"."stg_orders"' in compiled, compiled
