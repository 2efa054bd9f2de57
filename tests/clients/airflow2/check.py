"""Checks with a real Airflow 2 that dbt-api shows its runs correctly, with or without uploads."""
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
    """Returns the runs of a DAG, oldest first."""
    return [run for run in get("runs/?include_related=job&order_by=id&limit=100") if run["job"]["name"] == dag]


def statuses(dag):
    return sorted(run["status_humanized"] for run in runs(dag))


def become(dag, *expected):
    wait(f"the runs of {dag} are {expected}", lambda: statuses(dag) == sorted(expected), PATIENCE)


def observe(airflow, stack):
    """Starts another process that observes Airflow, beside the one that serves."""
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
    # Equal to the microsecond, but in another format.
    same = [(broken["started_at"], became["start_date"]), (broken["finished_at"], became["end_date"])]
    assert all(ours.replace(" ", "T") == theirs for ours, theirs in same), same
    become("waiting", "Queued", "Running")
    # Including the run that the schedule makes when the DAG is unpaused.
    become("shop", "Success", "Success")
    # The uploads, which do not name the DAG, are in the run of their DAG.
    wait("each run of shop has its upload", lambda: all(run["artifacts_saved"] for run in runs("shop")), PATIENCE)
    assert get(f"runs/{runs('shop')[0]['id']}/artifacts/") == ["manifest.json"]
    assert not runs("(unknown DAG)")
    jobs = {job["name"]: job for job in get("jobs/")}
    assert jobs["shop"]["schedule"]["cron"] == "0 0 * * *" and jobs["shop"]["triggers"]["schedule"], jobs["shop"]
    assert not jobs["broken"]["triggers"]["schedule"], jobs["broken"]

    # A cleared run keeps its id, runs again and fails again.
    airflow.clear("broken", made["broken"])
    wait("the cleared run ran again", lambda: runs("broken")[0]["started_at"] > broken["finished_at"] and statuses("broken") == ["Error"], PATIENCE)
    assert [run["id"] for run in runs("broken")] == [broken["id"]]

    # A run that is deleted in Airflow before it ends must not be shown as running forever.
    queued = next(run for run in airflow.get("dags/waiting/dagRuns")["dag_runs"] if run["state"] == "queued")
    airflow.ask("DELETE", f"dags/waiting/dagRuns/{urllib.parse.quote(queued['dag_run_id'], safe='')}")
    become("waiting", "Cancelled", "Running")
    airflow.open_gate()
    become("waiting", "Cancelled", "Success")

    events = dbt_api("events", "list", "--account", account, "--type", "airflow.", "--limit", "1000")
    # Four of the runs pass through at most three states, one of them twice; then there is the deleted one. No state is reported twice.
    assert len(events) <= 20, len(events)
    assert airflow.password not in (folder / "observer.log").read_text()
