"""A real Airflow 2.10 whose DAGs upload to dbt-api. It listens on a free port and keeps all its files in one folder."""
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
# On a busy machine, Airflow can be slow.
PATIENCE = 180


class Airflow:
    """A scheduler and a webserver with SQLite. Both are stopped when the stack closes, even after an error."""

    # The first user may do everything; the second may only read, which is all that dbt-api needs.
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
            # The only executor that works with SQLite. It runs one task at a time.
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            # Without it, only a browser's session may use the API.
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WORKERS": "2",
            # Shorter intervals, so that the test need not wait.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "DATACOVES__UPLOAD_MANIFEST": "true",
            "DATACOVES__UPLOAD_MANIFEST_URL": f"{dbt_api}/api/internal/manifests",
            "DATACOVES__UPLOAD_MANIFEST_TOKEN": token,
            "DATACOVES__ENVIRONMENT_SLUG": slug,
            "SHOP_MANIFEST": str(ROOT / "fixtures/manifests/v12-1.12.0.json"),
        }
        self.run("db", "migrate")
        # Without this there is only one role.
        self.run("sync-perm")
        for user, role in ((self.user, "Admin"), (self.reader, "Viewer")):
            self.run("users", "create", "--username", user, "--password", self.password, "--role", role,
                     "--firstname", "A", "--lastname", "Tester", "--email", f"{user}@example.com")
        # Without its log server, which has a fixed port.
        self.start(stack, "scheduler", "--skip-serve-logs")
        self.start(stack, "webserver", "--port", str(self.port), "--pid", str(self.folder / "webserver.pid"))
        wait("Airflow is healthy", self.healthy, PATIENCE)
        wait("Airflow has read the DAGs", lambda: {dag["dag_id"] for dag in self.get("dags")["dags"]} == DAGS, PATIENCE)

    def run(self, *arguments):
        done = subprocess.run([self.command, *arguments], env=self.variables, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments[:2])} exited with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}")

    def start(self, stack, name, *arguments):
        with (self.folder / f"{name}.log").open("w") as log:
            # In a session of its own, so that its child processes can be stopped with it.
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
        """Sends a request to the stable REST API. An error status raises urllib's exception."""
        login = base64.b64encode(f"{user or self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", headers={"Authorization": f"Basic {login}"}, method=method)
        # Only with a body, because Airflow refuses a DELETE that declares JSON and has none.
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def get(self, path, user=None):
        return self.ask("GET", path, user=user)

    def unpause(self, dag):
        """Unpauses a DAG. New DAGs are paused and their runs stay queued; a schedule also starts only when its DAG is unpaused."""
        return self.ask("PATCH", f"dags/{dag}", {"is_paused": False})

    def trigger(self, dag, **conf):
        """Queues a new run and returns its id. It runs if the DAG is not paused."""
        return self.ask("POST", f"dags/{dag}/dagRuns", {"conf": conf})["dag_run_id"]

    def dag_run(self, dag, run):
        return self.get(f"dags/{dag}/dagRuns/{urllib.parse.quote(run, safe='')}")

    def clear(self, dag, run):
        """Runs an ended run again, under the same id."""
        return self.ask("POST", f"dags/{dag}/dagRuns/{urllib.parse.quote(run, safe='')}/clear", {"dry_run": False})

    def open_gate(self):
        """Lets the runs of `waiting` start."""
        return self.ask("POST", "pools", {"name": "gate", "slots": 1})

    def wait_for(self, dag, run, states=ENDED):
        def reached():
            found = self.dag_run(dag, run)
            return found if found["state"] in states else None

        return wait(f"{dag}'s run {run} is {' or '.join(states)}", reached, PATIENCE)
