#!/usr/bin/env python3
"""Runs real clients of dbt Cloud, unchanged from PyPI, against the service with real artifacts, and an Airflow that the service observes.

    tests/clients/run.py BINARY [CLIENT...]
    tests/clients/run.py --missing [CLIENT...]
    tests/clients/run.py --python CLIENT

Needs a PostgreSQL (DATABASE_URL), nats-server and openssl. Each client has a folder: requirements.txt is installed into a virtual
environment under .dev/clients, and check.py runs in it. The linters of the OpenAPI document are installed beside them with npm. Clients that
cannot be installed are skipped and reported. The heavy clients run only if they are named, or with DBT_API_TEST_ALL. --missing prints the
commands that create the missing environments. --python creates the client's environment, if it is missing, and prints its Python.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

import proxy
from local import free_port, send_form, upload, wait

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SKIPPED = 77
# The Python version that the locked packages are for.
PYTHON = {
    "dagster": "3.11", "openapi": "3.11", "airflow": "3.12", "tap_dbt": "3.11",
    "dbterd": "3.11", "dbt_mcp": "3.12", "datahub": "3.11", "metaphor": "3.11", "openmetadata": "3.11",
    # From here on, the clients upload too, and change what the others would see.
    "dbt": "3.11", "airflow2": "3.11", "discovery_schema": "3.11", "dbt_sl": "3.11",
}
# These take minutes to install or to run, and seldom fail: Airflow, and its provider, which depends on it; and clients of the Discovery API
# besides dbterd, which ask it for much of the same.
HEAVY = ("airflow", "airflow2", "datahub", "dbt_mcp", "metaphor", "openmetadata")
# The client that also needs packages from npm, and the files that say which.
LINTED = "openapi"
LINTERS = [HERE / LINTED / name for name in ("package.json", "package-lock.json")]
RUNS = 105  # more than a page
NOTES = b"The content of a stored file\n"


class Service:
    """A separate installation: database, NATS, bucket, service, and a TLS proxy."""

    def __init__(self, binary, folder, stack):
        server, _, query = os.environ["DATABASE_URL"].partition("?")
        server = server.rsplit("/", 1)[0]
        name = f"dbt_api_clients_{os.getpid()}"
        self.psql(server, f"CREATE DATABASE {name}")
        stack.callback(self.psql, server, f"DROP DATABASE {name} WITH (FORCE)")
        nats, self.port, tls = free_port(), free_port(), free_port()
        self.url, self.https = f"http://127.0.0.1:{self.port}", f"https://localhost:{tls}"
        self.host = f"localhost:{tls}"
        self.binary = binary
        self.environment = os.environ | {
            "DB_URL": f"{server}/{name}" + (f"?{query}" if query else ""),
            "NATS_URL": f"nats://127.0.0.1:{nats}",
            "STORAGE_ADAPTER": "local",
            "STORAGE_PATH": str(folder / "bucket"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.https,
        }
        self.start(stack, ["nats-server", "-a", "127.0.0.1", "-p", str(nats), "-js", "-sd", str(folder / "nats")], folder / "nats.log")
        subprocess.run([binary, "migrate"], env=self.environment, check=True, capture_output=True)
        self.start(stack, [binary, "serve"], folder / "service.log")
        wait("the service answers", lambda: urllib.request.urlopen(self.url).status == 200)
        self.certificate = proxy.start(folder, tls, self.port)

    @staticmethod
    def psql(server, statement):
        subprocess.run(["psql", "-X", "-q", f"{server}/postgres", "-c", statement], check=True)

    def start(self, stack, command, log):
        process = subprocess.Popen(command, env=self.environment, stdout=log.open("w"), stderr=subprocess.STDOUT)
        stack.callback(process.wait)
        stack.callback(process.terminate)

    def cli(self, *arguments):
        printed = subprocess.run([self.binary, "--json", *arguments], env=self.environment, check=True, capture_output=True)
        return json.loads(printed.stdout)

    def fill(self):
        """Adds an account with a project, an environment, more runs than fit on a page, and stored files. The last run failed."""
        self.cli("account", "add", "Clients")
        self.cli("project", "add", "--account", "1", "--name", "Shop", "--slug", "shop")
        self.cli("environment", "add", "--account", "1", "--project", "1", "--name", "Production", "--slug", "prod", "--type", "production")
        self.token = self.cli("token", "create", "--account", "1", "--name", "clients", "--scope", "read,upload")["key"]
        manifest = (ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes()
        build = json.loads((ROOT / "fixtures/run_results/v6-1.12.0-build.json").read_bytes())
        catalog = (ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes()
        good = dict(build, results=[result for result in build["results"] if result["status"] in ("success", "pass")])
        for run in range(RUNS):
            self.upload(f"scheduled__{run:03}", manifest)
        self.upload("scheduled__000", json.dumps(good).encode())
        self.upload("scheduled__000", catalog)
        self.upload(f"scheduled__{RUNS - 1:03}", json.dumps(build).encode())
        wait("all uploads are projected", lambda: self.get("runs/?limit=1&status=20")["extra"]["pagination"]["total_count"] == 1
             and self.get("runs/?limit=1")["extra"]["pagination"]["total_count"] == RUNS)
        self.store_files()

    def store_files(self):
        """Stores a file in the environment, and copies it to the project."""
        send_form(f"{self.url}/api/v2/datacoves/environments/prod/files", self.token, {"tag": "notes"}, NOTES, "notes.txt")
        of_project = f"{self.url}/api/v3/accounts/1/projects/1"
        headers = {"Authorization": f"Token {self.token}"}
        promote = urllib.request.Request(f"{of_project}/environments/1/files/notes.txt/promote", headers=headers, method="POST")
        wait("the environment's file is projected", lambda: urllib.request.urlopen(promote).status == 201)
        download = urllib.request.Request(f"{of_project}/files/notes.txt/download", headers=headers)
        wait("the project's file is projected", lambda: urllib.request.urlopen(download).read() == NOTES)

    def upload(self, run, file):
        upload(self.url, self.token, {"environment_slug": "prod", "dag_id": "daily", "run_id": run}, file)

    def get(self, path):
        request = urllib.request.Request(f"{self.url}/api/v2/accounts/1/{path}", headers={"Authorization": f"Token {self.token}"})
        return json.load(urllib.request.urlopen(request))


def python_of(version):
    """Finds a Python of this version, on the path or in pyenv; returns None if there is none."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    for python in [shutil.which(f"python{version}"), *sorted(versions.glob(f"{version}.*/bin/python"))]:
        # pyenv puts commands on the path that only report that the version is not installed.
        if python and subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0:
            return python
    return None


def folder_of(name, *files):
    """Returns the folder of an environment, which depends on the files that say what is in it."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    return ROOT / ".dev/clients" / f"{name}-{digest}"


def requirements_of(client):
    return HERE / client / "requirements.txt"


def venv_of(client):
    """Returns the folder of the client's virtual environment."""
    return folder_of(client, requirements_of(client))


def linters_folder():
    """Returns the folder of the linters of the OpenAPI document."""
    return folder_of("linters", *LINTERS)


def steps_to_make(client, python):
    """Returns the commands that create the client's virtual environment."""
    folder, requirements = venv_of(client), requirements_of(client)
    pip = [folder / "bin/pip", "install", "-q", "--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "-r", requirements]
    return [[python, "-m", "venv", folder], pip]


def steps_to_make_linters():
    """Returns the commands that install the linters of the OpenAPI document."""
    folder = linters_folder()
    npm = ["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
    return [["mkdir", "-p", folder], ["cp", *LINTERS, folder], npm]


def make(name, folder, steps):
    """Creates an environment and returns its folder, or None if it cannot be created here."""
    shutil.rmtree(folder, ignore_errors=True)
    for step in steps:
        try:
            subprocess.run(step, capture_output=True, text=True, check=True, timeout=240)
        except subprocess.SubprocessError as error:
            words = getattr(error, "stderr", None) or str(error)
            print(f"SKIPPED {name}: installation failed: {str(words).strip()[-500:]}", file=sys.stderr)
            return None
    (folder / "ready").touch()
    return folder


def environment_of(client):
    """Returns the client's virtual environment, created if its requirements are new; None if it cannot be created here."""
    folder = venv_of(client)
    if (folder / "ready").exists():
        return folder
    python = python_of(PYTHON[client])
    if not python:
        print(f"SKIPPED {client}: Python {PYTHON[client]} is not installed", file=sys.stderr)
        return None
    return make(client, folder, steps_to_make(client, python))


def linters():
    """Returns the folder of the linters, created if their versions are new; None if they cannot be installed here."""
    folder = linters_folder()
    if (folder / "ready").exists():
        return folder
    return make("the linters of the OpenAPI document", folder, steps_to_make_linters()) if shutil.which("npm") else None


def chosen():
    """The clients that run when none is named."""
    return [client for client in PYTHON if client not in HEAVY or os.environ.get("DBT_API_TEST_ALL")]


def print_missing(clients):
    for client in clients:
        python = python_of(PYTHON[client])
        if python:
            print_steps(venv_of(client) / "ready", steps_to_make(client, python))
    if LINTED in clients and shutil.which("npm"):
        print_steps(linters_folder() / "ready", steps_to_make_linters())


def print_steps(ready, steps):
    if not ready.exists():
        print(" ", " && ".join(shlex.join(map(str, step)) for step in [*steps, ["touch", ready]]))


def check(client, service, folder):
    environment = environment_of(client)
    if not environment:
        return SKIPPED
    variables = service.environment | {
        "DBT_API_BINARY": str(pathlib.Path(service.binary).resolve()),
        "DBT_API_URL": service.url,
        "DBT_API_HTTPS_URL": service.https,
        "DBT_API_HOST": service.host,
        "DBT_API_TOKEN": service.token,
        "DBT_API_RUNS": str(RUNS),
        "REQUESTS_CA_BUNDLE": str(service.certificate),
        "SSL_CERT_FILE": str(service.certificate),
        "HOME": str(folder),
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
    }
    if client == LINTED and (installed := linters()):
        variables["DBT_API_LINTERS"] = str(installed / "node_modules/.bin")
    work = folder / client
    work.mkdir()
    started = time.monotonic()
    code = subprocess.run([environment / "bin/python", HERE / client / "check.py"], env=variables, cwd=work).returncode
    print(f"{client}: {'passed' if code == 0 else 'FAILED'}, {time.monotonic() - started:.0f} s", flush=True)
    return code


def main():
    if sys.argv[1] == "--missing":
        print_missing(sys.argv[2:] or chosen())
        return 0
    if sys.argv[1] == "--python":
        folder = environment_of(sys.argv[2])
        if not folder:
            return SKIPPED
        print(folder / "bin/python")
        return 0
    binary, clients = sys.argv[1], sys.argv[2:] or chosen()
    unknown = [client for client in clients if client not in PYTHON]
    if unknown:
        raise SystemExit(f"not a client: {', '.join(unknown)}; the clients: {', '.join(PYTHON)}")
    # A short path, because of sockets; removed at the end.
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        service = Service(binary, folder, stack)
        service.fill()
        codes = {client: check(client, service, folder) for client in clients}
        if any(code not in (0, SKIPPED) for code in codes.values()):
            print((folder / "service.log").read_text()[-3000:], file=sys.stderr)
            return 1
    for client in PYTHON:
        if client not in clients and not sys.argv[2:]:
            print(f"{client}: left out (--all runs it)")
    return SKIPPED if all(code == SKIPPED for code in codes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
