"""An installation of dbt-api: its settings, its processes, and what clients ask them."""
import dataclasses
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.parse
import uuid

from processes import ROOT, Failed, check, free_port, wait

RESULTS = json.loads((ROOT / "fixtures/run_results/v6-1.12.0-build.json").read_text())
MANIFEST = (ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes()
SUCCESS, ERROR = 10, 20
ENVIRONMENTS = ("prod", "dev")


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    seconds: float

    def json(self):
        return json.loads(self.body)


def send(url, method, path, token=None, body=None, headers=(), timeout=60):
    """Sends a request and returns the answer, whatever its status. No proxy is asked, and nothing is tried again."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=timeout)
    try:
        given = {"Authorization": f"Token {token}"} if token else {}
        connection.request(method, path, body, given | dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(), time.monotonic() - started)
    finally:
        connection.close()


def results(exit_code=0):
    """Returns a small run_results.json of an invocation of its own, which succeeded or failed."""
    wanted = ("success", "pass") if exit_code == 0 else ("error",)
    kept = [result for result in RESULTS["results"] if result["status"] in wanted][:1]
    check(kept, "the fixture has no result with the status", wanted)
    metadata = RESULTS["metadata"] | {"invocation_id": str(uuid.uuid4())}
    return json.dumps(RESULTS | {"metadata": metadata, "results": kept}).encode()


def form(fields, file, filename="file"):
    """Returns the body of a form with a file, and its headers."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    head = "".join(parts) + f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class Service:
    """A process of dbt-api."""

    def __init__(self, machine, name, role, binary, environment):
        self.name, self.port = name, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = machine.run(name, [binary, role], environment | {"PORT": str(self.port)})

    def start(self):
        self.process.start()
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        wait(f"{self.name} listens", lambda: send(self.url, "GET", "/healthz/live", timeout=2).status == 200)
        return self

    def readiness(self):
        """Returns the status code of the readiness and what it says."""
        answer = send(self.url, "GET", "/healthz/ready", timeout=10)
        return answer.status, answer.json()

    def wait_until_it_is_ready(self, seconds=60):
        wait(f"{self.name} is ready", lambda: self.readiness()[1]["status"] == "ready", seconds)
        return self

    def get(self, token, path, **headers):
        return send(self.url, "GET", path, token, headers={name.replace("_", "-"): value for name, value in headers.items()}.items())

    def upload(self, token, run, file, environment="prod", timeout=60):
        body, headers = form({"environment_slug": environment, "dag_id": "daily", "run_id": run}, file)
        return send(self.url, "POST", "/api/internal/manifests", token, body, headers, timeout)

    def runs(self, token, account=1, **query):
        """Returns the total number of runs, and those on the page; fails unless it is answered with 200."""
        words = urllib.parse.urlencode({"limit": 100, "include_related": '["trigger"]'} | query)
        answer = self.get(token, f"/api/v2/accounts/{account}/runs/?{words}")
        check(answer.status == 200, f"{self.name} answers {answer.status} for runs:", answer.body[:300])
        page = answer.json()
        return page["extra"]["pagination"]["total_count"], page["data"]

    def wait_for_runs(self, token, count, seconds=60, account=1):
        """Waits until this many runs are shown, and returns those on the first page."""
        def shown():
            answer = self.get(token, f"/api/v2/accounts/{account}/runs/?limit=1")
            return answer.status == 200 and answer.json()["extra"]["pagination"]["total_count"] == count
        wait(f"{count} runs are shown", shown, seconds)
        return self.runs(token, account)[1]


class Installation:
    """The settings of an installation, and commands with them."""

    def __init__(self, machine, binary, database, nats, bucket=None, **variables):
        self.machine, self.binary = machine, pathlib.Path(binary).resolve()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        if bucket is None:
            bucket = {"STORAGE_ADAPTER": "local", "STORAGE_PATH": str(machine.folder / f"bucket-{uuid.uuid4().hex[:8]}")}
        self.environment = kept | bucket | {
            # No dbt-api.toml of this checkout.
            "DB_URL": database, "NATS_URL": nats, "HOST": "127.0.0.1", "LOG_FORMAT": "text", "UPLOADS_PER_MINUTE": "100000",
            "READS_PER_MINUTE": "1000000", "PUBLIC_URL": "https://dbt.example.com",
        } | variables

    def with_settings(self, **variables):
        """Returns the same installation as a process with other settings sees it."""
        return Installation(self.machine, self.binary, "", "", {}, **(self.environment | variables))

    def run(self, *arguments, timeout=120):
        """Runs a command, and returns its exit code and all that it prints."""
        command = [self.binary, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, cwd=self.machine.folder, capture_output=True, text=True, timeout=timeout)
        return done.returncode, (done.stdout + done.stderr).strip()

    def cli(self, *arguments, timeout=120):
        """Runs a command that must succeed, and returns its answer."""
        command = [self.binary, "--json", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, cwd=self.machine.folder, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise Failed(f"`dbt-api {' '.join(map(str, arguments))}` ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refuses(self, words, *arguments):
        """Checks that a command ends with 1 and says these words."""
        code, printed = self.run(*arguments)
        check(code == 1 and words in printed, "`dbt-api", *arguments, f"` should refuse with {words!r}; it ended with {code}:", printed[-1000:])

    def start(self, role, name=None, **variables):
        service = Service(self.machine, name or role, role, self.binary, self.environment | variables)
        return service.wait_until_it_listens()

    def fill(self, name="Tests"):
        """Adds an account with a project and environments, and returns its number."""
        account = self.cli("account", "add", name)["id"]
        project = self.cli("project", "add", "--account", account, "--name", name, "--slug", name.lower())["id"]
        for slug in ENVIRONMENTS:
            self.cli("environment", "add", "--account", account, "--project", project, "--name", slug, "--slug", slug, "--type", "production")
        return account

    def new_token(self, *arguments, account=1, scope="read,upload"):
        return self.cli("token", "create", "--account", account, "--name", "tests", "--scope", scope, *arguments)

    def token(self, *arguments, account=1, scope="read,upload"):
        """Returns the key of a new token."""
        return self.new_token(*arguments, account=account, scope=scope)["key"]

    def verify(self, timeout=300):
        """Checks that the read model is what the bucket says."""
        code, printed = self.run("--json", "rebuild", "--verify", timeout=timeout)
        check(code == 0, "`dbt-api rebuild --verify` ended with", code, printed[-2000:])


def load_sample(service, installation, account, environment):
    """Uploads the sample of ./dev run, which waits until it is shown."""
    variables = installation.environment | {
        "DBT_API_URL": service.url, "DBT_API_ACCOUNT_ID": str(account), "DBT_API_ENVIRONMENT_SLUG": environment,
        "DBT_API_READ_TOKEN": installation.token(account=account, scope="read"),
        "DBT_API_UPLOAD_TOKEN": installation.token("--environment", environment, account=account, scope="upload"),
        "SAMPLE_TOKEN": installation.token(account=account, scope="upload"),
    }
    done = subprocess.run([sys.executable, ROOT / "scripts/sample.py"], env=variables, capture_output=True, text=True, timeout=180)
    check(done.returncode == 0, "the sample:", done.stderr[-2000:])
    return variables["DBT_API_READ_TOKEN"]
