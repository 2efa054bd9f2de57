"""Helpers for all checks."""
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
import uuid


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, condition, seconds=60):
    """Waits for a condition and returns its value. A server that does not listen yet, or is still starting, is not an error."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = condition()
            if answer:
                return answer
        time.sleep(0.05)
    raise SystemExit(f"timed out while waiting: {what}")


def send_form(address, token, fields, file, filename="file"):
    """Sends a form with a file, whose answer must be 201."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    head = "".join(parts) + f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert urllib.request.urlopen(urllib.request.Request(address, body, headers, method="POST")).status == 201


def upload(url, token, fields, file):
    """Uploads an artifact as the service's own clients do. The fields say of which run it is."""
    send_form(f"{url}/api/internal/manifests", token, fields, file)


def graphql(url, token, query, **variables):
    """Asks the Discovery API, and returns the data of the answer, which must be without errors."""
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query, "variables": variables}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def cli(*arguments):
    """Runs dbt-api in a check, and returns what it prints."""
    printed = subprocess.run([os.environ["DBT_API_BINARY"], "--json", *arguments], check=True, capture_output=True)
    return json.loads(printed.stdout)


CATALOGS = "query ($id: BigInt!) { environment(id: $id) { applied { models { edges { node { catalog { type } } } } } } }"


def is_something(data):
    """Whether an answer of the Discovery API has more than nothing in its lists."""
    if isinstance(data, dict):
        return any(is_something(value) for value in data.values())
    return any(map(is_something, data)) if isinstance(data, list) else bool(data)


def account(name, files, query=CATALOGS):
    """Adds an account with one project and its production environment, so that the other checks do not see them, and uploads a run.

    Returns the ids of account and environment, as texts, and a token, when the query finds something: it asks for what the last file brings.
    """
    url = os.environ["DBT_API_URL"]
    of = ["--account", account_id := str(cli("account", "add", name, "--allow-same-name")["id"])]
    project = str(cli("project", "add", *of, "--name", name, "--slug", name)["id"])
    environment = str(cli("environment", "add", *of, "--project", project, "--name", name, "--slug", name, "--type", "production")["id"])
    token = cli("token", "create", *of, "--name", name, "--scope", "read,upload")["key"]
    for file in files:
        upload(url, token, {"environment_slug": name, "dag_id": name, "run_id": "1"}, json.dumps(file).encode())
    wait(f"{name} is projected", lambda: is_something(graphql(url, token, query, id=environment)))
    return account_id, environment, token
