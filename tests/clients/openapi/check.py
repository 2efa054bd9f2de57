"""Checks the OpenAPI document: linters, and a client generated from it, which reads every GET route."""
import importlib
import inspect
import json
import os
import pathlib
import pkgutil
import shutil
import subprocess
import sys
import typing
import urllib.request

URL, TOKEN = os.environ["DBT_API_URL"], os.environ["DBT_API_TOKEN"]
HERE = pathlib.Path(__file__).resolve().parent


def lint(document):
    """Runs redocly's recommended rules and spectral's rules, if run.py could install them. Warnings are allowed, errors are not."""
    programs = os.environ.get("DBT_API_LINTERS")
    if not programs:
        reason = "they cannot be installed" if shutil.which("npm") else "npm is not installed"
        # Only where nobody relies on them: in CI, linters that do not run are a failure.
        assert not os.environ.get("CI"), f"the OpenAPI document was not linted: {reason}"
        print(f"SKIPPED the linters of the OpenAPI document: {reason}", file=sys.stderr)
        return
    shutil.copy(HERE / ".spectral.yaml", ".")
    for command in (["redocly", "lint", "--extends=recommended", document], ["spectral", "lint", document]):
        done = subprocess.run([f"{programs}/{command[0]}", *command[1:]], capture_output=True, text=True)
        assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"


def ask(path):
    request = urllib.request.Request(URL + path, headers={"Authorization": f"Token {TOKEN}"})
    return json.load(urllib.request.urlopen(request))["data"]


def get(path):
    return ask(f"/api/v2/accounts/1/{path}")


with urllib.request.urlopen(f"{URL}/api/v2/openapi") as answer:
    document = json.load(answer)
pathlib.Path("openapi.json").write_text(json.dumps(document))
lint("openapi.json")
generated = subprocess.run(
    ["openapi-python-client", "generate", "--path", "openapi.json", "--output-path", "client"], capture_output=True, text=True
)
assert generated.returncode == 0, generated.stdout + generated.stderr
sys.path.insert(0, "client")
package = importlib.import_module("dbt_api_client")
client = package.AuthenticatedClient(base_url=URL, token=TOKEN, raise_on_unexpected_status=True)

run = get("runs/?status=20&include_related=run_steps")[0]
node = next(node for node in get("environments/1/nodes/?resource_type=model"))
href = ask("/api/private/accounts/1/projects/1/manifest/latest/")["manifest_href"]
file = ask("/api/v2/datacoves/environments/prod/files")[0]
values = {
    "account_id": 1, "project_id": 1, "environment_id": 1, "run_id": run["id"], "job_id": run["job_id"], "path": "manifest.json",
    "unique_id": node["unique_id"], "from_": get("runs/?limit=1")[0]["id"], "environment_slug": "prod", "slug": "prod",
    "environment": 1, "with_": 1, "q": "orders", "project_slug": "shop", "signed": href.rsplit("/", 1)[1], "file": file["slug"], "name": file["filename"],
    # `slug` is the environment in the path, and the file in the query.
    "slug_path": "prod", "slug_query": file["slug"],
}
# What `id` means in the routes of each tag.
ids = {"runs": run["id"], "jobs": run["job_id"], "retrieve_run_step": run["run_steps"][0]["id"]}
# Parameters that the document calls optional, but that say what is read.
GIVEN = ("environment_slug", "slug_query")


def arguments(tag, name, function):
    """The value of each required parameter, and of those that are given anyway."""
    found = {}
    # A comparison is of environments or of runs.
    given = (*GIVEN, "environment") if name == "compare" else GIVEN
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in given and (parameter.name == "client" or parameter.default is not inspect.Parameter.empty):
            continue
        if parameter.name == "id":
            value = ids.get(name, ids.get(tag, 1))
        elif parameter.name == "collection":
            value = next(iter(parameter.annotation))
        else:
            value = values[parameter.name]
        found[parameter.name] = str(value) if parameter.annotation is str else value
    return found


read = 0
api = importlib.import_module("dbt_api_client.api")
for module in pkgutil.walk_packages(api.__path__, api.__name__ + "."):
    tag, name = module.name.split(".")[-2:]
    operation = importlib.import_module(module.name)
    if module.ispkg or '"method": "get"' not in inspect.getsource(operation):
        continue
    answer = operation.sync_detailed(client=client, **arguments(tag, name, operation.sync_detailed))
    assert answer.status_code == 200, f"{name}: {answer.status_code}, {answer.content[:300]}"
    read += 1

from dbt_api_client.api.runs import list_runs  # noqa: E402 it exists only now
from dbt_api_client.models import ListRunsIncludeRelatedItem as Related, ListRunsOrderBy as Order  # noqa: E402

page = list_runs.sync(
    1, client=client, status_in=[20, 30], include_related=[Related.JOB, Related.RUN_STEPS], order_by=Order("-id"), limit=5
)
assert [shown.id for shown in page.data] == [run["id"]] and page.extra.pagination.total_count == 1, page
shown = page.data[0]
assert shown.created_at.isoformat() == run["created_at"].replace(" ", "T") and shown.job.name == "daily", shown
assert [step.status for step in shown.run_steps] == [20], shown
gets = [item["get"]["operationId"] for item in document["paths"].values() if "get" in item]
assert read == len(gets), f"{read} of {len(gets)} routes"
print(f"openapi: the generated client read {read} routes")
