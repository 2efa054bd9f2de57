#!/usr/bin/env python3
"""Uploads the sample that `./dev run` shows: two DAGs of a bakery with runs of the last days, file by file as a DAG does, and a file that is
stored in the environment and in its project.

The files are those that dbt wrote in fixtures/situations. Their times are moved, so that the runs lie in the last days, and each command gets
an id of its own. Takes DBT_API_URL, DBT_API_ACCOUNT_ID, DBT_API_ENVIRONMENT_SLUG, DBT_API_READ_TOKEN, DBT_API_UPLOAD_TOKEN and
SAMPLE_TOKEN.
"""
import datetime
import json
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
import uuid

SITUATIONS = pathlib.Path(__file__).resolve().parent.parent / "fixtures/situations"
DAY, HOUR, MINUTE = (datetime.timedelta(**{unit: 1}) for unit in ("days", "hours", "minutes"))
# A command: a situation, the number of the command in it, and the files that are uploaded after it.
BUILT = ("manifest.json", "run_results.json")
FRESHNESS = ("freshness-passes", 1, ("sources.json",))
DOCS = ("docs-generate", 2, (*BUILT, "catalog.json"))
NIGHTLY = (FRESHNESS, ("docs-generate", 1, BUILT), DOCS)
# Orders are late, bread names a table that is not there, and what is below it is skipped. No docs after that.
BAD_NIGHT = (("freshness-warns", 1, ("sources.json",)), ("build-model-fails", 1, BUILT))
PRICES = (FRESHNESS, *(("seed-run-test-separately", number, BUILT) for number in (1, 2, 3, 4)), DOCS)
# DAG, hours before the newest run of all, and a run for each of the last days, the oldest first. Last night was a bad one.
DAGS = (("bakery_nightly", 0, (NIGHTLY, BAD_NIGHT, NIGHTLY, NIGHTLY, BAD_NIGHT)), ("bakery_prices", 14, (PRICES, PRICES, PRICES)))
A_TIME = re.compile(r'(?<=")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?=(Z|\+00:00)")')


def planned(now):
    """All runs, the oldest first: when, DAG, commands."""
    newest = now.replace(hour=2, minute=0, second=0, microsecond=0)
    newest -= DAY if newest > now - 15 * MINUTE else 0 * DAY
    runs = []
    for dag, hours, of_days in DAGS:
        runs += [(newest - hours * HOUR - days * DAY, dag, commands) for days, commands in enumerate(reversed(of_days))]
    return sorted(runs)


def recorded(situation, number, name):
    return (SITUATIONS / situation / f"{number}.{name}").read_text()


def files(command, begin, created):
    """The command's files, as if it had begun then, of a project whose nodes were first read at another time."""
    situation, number, names = command
    metadata = json.loads(recorded(situation, number, names[-1]))["metadata"]
    invocation, moved = str(uuid.uuid4()), begin - datetime.datetime.fromisoformat(metadata["invocation_started_at"].replace("Z", "+00:00"))
    for name in names:
        text = recorded(situation, number, name).replace(metadata["invocation_id"], invocation)
        text = A_TIME.sub(lambda found: (datetime.datetime.fromisoformat(found[0]) + moved).isoformat(timespec="microseconds"), text)
        # The recorded manifests leave out macros, so nodes may not name any.
        text = re.sub(r'("macros": ?)\[[^]]*]', r"\g<1>[]", text)
        yield name, re.sub(r'("created_at": ?)[\d.]+', rf"\g<1>{created.timestamp()}", text)


def ask(path, token, body=None, kind=None):
    """The JSON that is answered; a body is posted."""
    headers = {"Authorization": token} | ({"Content-Type": kind} if kind else {})
    request = urllib.request.Request(os.environ["DBT_API_URL"] + path, body, headers)
    # The service is on this machine: no proxy is asked for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{request.get_method()} {request.full_url} was answered with {error.code}: {error.read().decode()[:1000]}")


def send(path, fields, name, text):
    """Sends a form with a file."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--{boundary}--\r\n'
    kind = f"multipart/form-data; boundary={boundary}"
    ask(path, f"Bearer {os.environ['DBT_API_UPLOAD_TOKEN']}", ("".join(parts) + file).encode(), kind)


def upload(dag, run, name, text):
    fields = {"environment_slug": os.environ["DBT_API_ENVIRONMENT_SLUG"], "dag_id": dag, "run_id": run}
    send("/api/internal/manifests", fields, name, text)


def store_files():
    """Stores a file in the environment under a tag, and copies it to the project, so that each route of files has something to show."""
    slug, name = os.environ["DBT_API_ENVIRONMENT_SLUG"], "opening_hours.json"
    read, account = f"Token {os.environ['DBT_API_READ_TOKEN']}", f"/api/v3/accounts/{os.environ['DBT_API_ACCOUNT_ID']}"
    send(f"/api/v2/datacoves/environments/{slug}/files", {"tag": "opening-hours"}, name, json.dumps({"monday": None, "tuesday": "6-18"}))
    project = ask(f"{account}/projects/?limit=1", read)["data"][0]["id"]
    files = f"{account}/projects/{project}/environments/{slug}/files"
    end = time.monotonic() + 60
    while not ask(f"{files}?limit=1", read)["data"]:
        if time.monotonic() > end:
            sys.exit("A file was stored; after 60 seconds it is not shown")
        time.sleep(0.2)
    ask(f"{files}/{name}/promote", f"Bearer {os.environ['SAMPLE_TOKEN']}", b"")


def count(**filters):
    query = "".join(f"&{name}={value}" for name, value in filters.items())
    path = f"/api/v2/accounts/{os.environ['DBT_API_ACCOUNT_ID']}/runs/?limit=1{query}"
    return ask(path, f"Token {os.environ['DBT_API_READ_TOKEN']}")["extra"]["pagination"]["total_count"]


def main():
    runs = planned(datetime.datetime.now(datetime.timezone.utc))
    for begin, dag, commands in runs:
        for minutes, command in enumerate(commands, 1):
            for name, text in files(command, begin + minutes * MINUTE, runs[0][0]):
                upload(dag, f"scheduled__{(begin - DAY).isoformat()}", name, text)
    store_files()
    # The last run is whole when its last command is.
    good = sum(BAD_NIGHT is not commands for _, _, commands in runs)
    end = time.monotonic() + 60
    while (count(), count(status=10), count(status=20)) != (len(runs), good, len(runs) - good):
        if time.monotonic() > end:
            sys.exit(f"{len(runs)} runs were accepted, {good} of them good; after 60 seconds {count()} are shown, {count(status=10)} of them good")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
