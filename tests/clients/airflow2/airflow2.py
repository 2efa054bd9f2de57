"""A real Airflow 2.10 whose DAGs upload to dbt-api, on a free port, with everything it writes in one folder."""
import base64
import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import urllib.parse
import urllib.request

from local import free_port, wait

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DAGS = {path.stem for path in (HERE / "dags").glob("*.py")}
ENDED = ("success", "failed")
# A machine that does other things too lets it wait.
PATIENCE = 180


class Airflow:
    """A scheduler and a webserver over SQLite. What starts is stopped when the stack closes, whatever happened between."""

    # The first may do all, the second may only look, which is what dbt-api needs.
    user, reader = "operator", "viewer"

    def __init__(self, folder, dbt_api, token, slug, stack):
        self.folder, self.port, self.password = pathlib.Path(folder).resolve(), free_port(), secrets.token_hex(8)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{self.port}"
        environment = pathlib.Path(sys.prefix)
        self.command = environment / "bin/airflow"
        self.variables = os.environ | {
            # Airflow finds its own gunicorn on the path.
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Nothing is written beside the DAGs.
            "PYTHONDONTWRITEBYTECODE": "1",
            # The one executor that SQLite can serve: one task at a time.
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            # Off by default: then only a browser's session may ask.
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WORKERS": "2",
            # Nothing here wants to wait for the next round.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "DATACOVES__UPLOAD_MANIFEST": "true",
            "DATACOVES__UPLOAD_MANIFEST_URL": f"{dbt_api}/api/internal/manifests",
            "DATACOVES__UPLOAD_MANIFEST_TOKEN": token,
            "DATACOVES__ENVIRONMENT_SLUG": slug,
            "SHOP_MANIFEST": str(ROOT / "fixtures/manifests/v12-1.12.0.json"),
        }
        self.run("db", "migrate")
        # The roles: without this there is but one.
        self.run("sync-perm")
        for user, role in ((self.user, "Admin"), (self.reader, "Viewer")):
            self.run("users", "create", "--username", user, "--password", self.password, "--role", role,
                     "--firstname", "A", "--lastname", "Tester", "--email", f"{user}@example.com")
        # Without its server of logs, which has a fixed port.
        self.start(stack, "scheduler", "--skip-serve-logs")
        self.start(stack, "webserver", "--port", str(self.port), "--pid", str(self.folder / "webserver.pid"))
        wait("Airflow is healthy", self.healthy, PATIENCE)
        wait("Airflow has read the DAGs", lambda: {dag["dag_id"] for dag in self.get("dags")["dags"]} == DAGS, PATIENCE)

    def run(self, *arguments):
        done = subprocess.run([self.command, *arguments], env=self.variables, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments[:2])} ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}")

    def start(self, stack, name, *arguments):
        with (self.folder / f"{name}.log").open("w") as log:
            # A session of its own: what it starts in turn can be ended with it.
            process = subprocess.Popen([self.command, name, *arguments], env=self.variables, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        stack.callback(self.stop, process)

    @staticmethod
    def stop(process):
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def healthy(self):
        with urllib.request.urlopen(f"{self.url}/health") as answer:
            health = json.load(answer)
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler"))

    def ask(self, method, path, body=None, user=None):
        """Asks the stable REST API; an answer that is an error is raised as urllib raises it."""
        login = base64.b64encode(f"{user or self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", headers={"Authorization": f"Basic {login}"}, method=method)
        # Only with a body: a DELETE that says it has JSON and has none is turned away.
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def get(self, path, user=None):
        return self.ask("GET", path, user=user)

    def unpause(self, dag):
        """DAGs are paused when they are first seen, and the runs of one that is paused stay queued. A schedule starts with this too."""
        return self.ask("PATCH", f"dags/{dag}", {"is_paused": False})

    def trigger(self, dag, **conf):
        """A new run's id. It is queued, and runs if the DAG is not paused."""
        return self.ask("POST", f"dags/{dag}/dagRuns", {"conf": conf})["dag_run_id"]

    def dag_run(self, dag, run):
        return self.get(f"dags/{dag}/dagRuns/{urllib.parse.quote(run, safe='')}")

    def clear(self, dag, run):
        """Has a run that ended run again, under the id it has."""
        return self.ask("POST", f"dags/{dag}/dagRuns/{urllib.parse.quote(run, safe='')}/clear", {"dry_run": False})

    def open_gate(self):
        """Lets the runs of `waiting` go."""
        return self.ask("POST", "pools", {"name": "gate", "slots": 1})

    def wait_for(self, dag, run, states=ENDED):
        def reached():
            found = self.dag_run(dag, run)
            return found if found["state"] in states else None

        return wait(f"{dag}'s run {run} is {' or '.join(states)}", reached, PATIENCE)
