"""Airflow 2 itself: dbt-api shows its runs as they are, with what they uploaded or without."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from airflow2 import PATIENCE, Airflow  # noqa: E402
from local import free_port, wait  # noqa: E402

url, folder = os.environ["DBT_API_URL"], pathlib.Path.cwd()


def dbt_api(*arguments):
    return json.loads(subprocess.run([os.environ["DBT_API_BINARY"], "--json", *arguments], check=True, capture_output=True).stdout)


account = str(dbt_api("account", "add", "Airflow")["id"])
project = str(dbt_api("project", "add", "--account", account, "--name", "Shop", "--slug", "shop")["id"])
dbt_api("environment", "add", "--account", account, "--project", project, "--name", "Production", "--slug", "prod", "--type", "production")
token = dbt_api("token", "create", "--account", account, "--name", "airflow", "--scope", "read,upload")["key"]


def get(path):
    request = urllib.request.Request(f"{url}/api/v2/accounts/{account}/{path}", headers={"Authorization": f"Token {token}"})
    return json.load(urllib.request.urlopen(request))["data"]


def runs(dag):
    """The runs of a DAG, the first first."""
    return [run for run in get("runs/?include_related=job&order_by=id&limit=100") if run["job"]["name"] == dag]


def statuses(dag):
    return sorted(run["status_humanized"] for run in runs(dag))


def become(dag, *due):
    wait(f"the runs of {dag} are {due}", lambda: statuses(dag) == sorted(due), PATIENCE)


def observe(airflow, stack):
    """A process of its own that observes, beside the one that serves."""
    config, log = folder / "airflow.toml", folder / "observer.log"
    config.write_text(f'[production]\naccount = {account}\nenvironment = "prod"\nurl = "{airflow.url}"\n'
                      f'username = "{airflow.reader}"\npassword = "{airflow.password}"\n')
    variables = os.environ | {"PORT": str(free_port()), "AIRFLOW_CONFIG": str(config), "AIRFLOW_POLL_SECONDS": "1"}
    process = subprocess.Popen([os.environ["DBT_API_BINARY"], "ingest"], env=variables, stdout=log.open("w"), stderr=subprocess.STDOUT)
    stack.callback(process.wait)
    stack.callback(process.terminate)


with contextlib.ExitStack() as stack:
    airflow = Airflow(folder / "airflow", url, token, "prod", stack)
    observe(airflow, stack)
    for dag in ("shop", "broken", "waiting"):
        airflow.unpause(dag)
    made = {dag: airflow.trigger(dag) for dag in ("shop", "broken", "waiting")}
    airflow.trigger("waiting")

    become("broken", "Error")
    broken = runs("broken")[0]
    assert broken["is_error"] and not broken["artifacts_saved"], broken
    became = airflow.dag_run("broken", made["broken"])
    # To the microsecond, in another format.
    same = [(broken["started_at"], became["start_date"]), (broken["finished_at"], became["end_date"])]
    assert all(ours.replace(" ", "T") == theirs for ours, theirs in same), same
    become("waiting", "Queued", "Running")
    # With the one that its schedule makes when it is unpaused.
    become("shop", "Success", "Success")
    # What was uploaded, without a word of the DAG, is in its DAG's run.
    wait("each run of shop has its upload", lambda: all(run["artifacts_saved"] for run in runs("shop")), PATIENCE)
    assert get(f"runs/{runs('shop')[0]['id']}/artifacts/") == ["manifest.json"]
    assert not runs("(unknown DAG)")
    jobs = {job["name"]: job for job in get("jobs/")}
    assert jobs["shop"]["schedule"]["cron"] == "0 0 * * *" and jobs["shop"]["triggers"]["schedule"], jobs["shop"]
    assert not jobs["broken"]["triggers"]["schedule"], jobs["broken"]

    # Cleared, it is the same run, which runs and fails again.
    airflow.clear("broken", made["broken"])
    wait("it ran again", lambda: runs("broken")[0]["started_at"] > broken["finished_at"] and statuses("broken") == ["Error"], PATIENCE)
    assert [run["id"] for run in runs("broken")] == [broken["id"]]

    # A run that Airflow forgets before it ended is not shown as running for ever.
    queued = next(run for run in airflow.get("dags/waiting/dagRuns")["dag_runs"] if run["state"] == "queued")
    airflow.ask("DELETE", f"dags/waiting/dagRuns/{urllib.parse.quote(queued['dag_run_id'], safe='')}")
    become("waiting", "Cancelled", "Running")
    airflow.open_gate()
    become("waiting", "Cancelled", "Success")

    events = dbt_api("events", "list", "--account", account, "--type", "airflow.", "--limit", "1000")
    # Four of the runs pass through three states at most, one of them twice; then the forgotten one. None is told twice.
    assert len(events) <= 20, len(events)
    assert airflow.password not in (folder / "observer.log").read_text()
