#!/usr/bin/env python3
"""Looks at the console with a real browser: Chromium, driven by playwright-core, and axe-core for what hinders people.

    tests/console/run.py BINARY [TEST...]
    tests/console/run.py --missing
    tests/console/run.py --modules

Needs Chromium, Node.js, a PostgreSQL (DATABASE_URL) and nats-server. The packages from npm go into a folder under .dev/production; --missing
prints the commands that install them, --modules installs them and prints the folder. A TEST is a name in this folder: `sign_in` for sign_in.test.mjs. Screenshots are kept in
.dev/log/production/console.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tests/production"))

import installation  # noqa: E402 - the folder above has to be known first
from packages import NPM, Package, Skipped  # noqa: E402
from processes import Failed, Machine, check, wait  # noqa: E402
from servers import Nats  # noqa: E402

SKIPPED = 77
LISTED = [HERE / "package.json", HERE / "package-lock.json"]
# Names and descriptions that a page must show as text.
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
HOSTILE = {
    "name": "a" * 300,
    "description": f"{MARKUP}\n\n[a link](javascript:document.title=3) and ![an image](https://outside.example/x.png)\n\n\u202eright to left",
}


def packages():
    steps = lambda folder: [["mkdir", "-p", folder], ["cp", *LISTED, folder], [*NPM, "ci", "--prefix", folder]]
    return Package("console", "npm", b"".join(file.read_bytes() for file in LISTED), steps)


def database(stack):
    """Makes an empty database, and returns its URL."""
    server, _, query = os.environ["DATABASE_URL"].partition("?")
    server = server.rsplit("/", 1)[0]
    name = f"dbt_api_console_{os.getpid()}"
    psql = lambda statement: subprocess.run(["psql", "-X", "-q", f"{server}/postgres", "-c", statement], check=True)
    psql(f"CREATE DATABASE {name}")
    stack.append(lambda: psql(f"DROP DATABASE {name} WITH (FORCE)"))
    return f"{server}/{name}" + (f"?{query}" if query else "")


def fill(dbt, service):
    """Adds the account that is looked at, with the sample, and another one. Returns what the tests must know of them."""
    account, other = dbt.fill("Bakery"), dbt.fill("Other")
    facts = {"url": service.url, "account": account, "other": other, "environment": 1}
    facts["read"] = dbt.token("--environment", "prod", account=account, scope="read")
    facts["revoked"] = dbt.new_token("--environment", "prod", account=account, scope="read")
    facts["all"] = dbt.token(account=account, scope="read")
    upload = dbt.token("--environment", "prod", account=account, scope="upload")
    sample = os.environ | {
        "DBT_API_URL": service.url, "DBT_API_ACCOUNT_ID": str(account), "DBT_API_ENVIRONMENT_SLUG": "prod",
        "DBT_API_READ_TOKEN": facts["all"], "DBT_API_UPLOAD_TOKEN": upload, "SAMPLE_TOKEN": dbt.token(account=account, scope="upload"),
    }
    done = subprocess.run([sys.executable, ROOT / "scripts/sample.py"], env=sample, capture_output=True, text=True)
    check(done.returncode == 0, "the sample cannot be uploaded:", done.stdout + done.stderr)
    facts["checks"] = failing_test(dbt, service, account)
    hostile(dbt, service, account, other)
    return facts


def failing_test(dbt, service, account):
    """Uploads a run in which a test fails, to an environment of its own, whose number it returns."""
    environment = dbt.cli("environment", "add", "--account", account, "--project", 1, "--name", "checks", "--slug", "checks")["id"]
    token = dbt.token("--environment", "checks", account=account)
    for command in (1, 2):
        for name in ("manifest", "run_results"):
            file = (ROOT / f"fixtures/situations/test-fails/{command}.{name}.json").read_bytes()
            answer = service.upload(token, "manual__checks", file, environment="checks")
            check(answer.status == 201, "a file is not accepted:", answer.body[:500])
    wait("the failed run is shown", lambda: service.runs(token, account, status=20)[0] == 1)
    return environment


def hostile(dbt, service, account, other):
    """Uploads a manifest with names and descriptions like those of an attacker, to the second environment, and a run to the other account."""
    manifest = json.loads(installation.MANIFEST)
    for number, node in enumerate(manifest["nodes"].values()):
        node["description"] = HOSTILE["description"]
        node["name"] = MARKUP if number == 0 else HOSTILE["name"] if number == 1 else node["name"]
        for column in node["columns"].values():
            column["description"] = HOSTILE["description"]
    token = dbt.token("--environment", "dev", account=account)
    answer = service.upload(token, "hostile", json.dumps(manifest).encode(), environment="dev")
    check(answer.status == 201, "the hostile manifest is not accepted:", answer.body[:500])
    of_other = dbt.token(account=other)
    check(service.upload(of_other, "of another", installation.MANIFEST).status == 201, "a manifest is not accepted")
    service.wait_for_runs(of_other, 1, account=other)
    wait("the hostile run is shown", lambda: service.runs(token, account)[0] == 1)


def run(binary, tests):
    modules = packages().install()
    chromium = shutil.which("chromium")
    check(chromium, "chromium is not installed")
    after = []
    try:
        with Machine("console") as machine:
            dbt = installation.Installation(machine, binary, database(after), Nats(machine).url)
            # The address at which the browser reaches it, without https.
            del dbt.environment["PUBLIC_URL"]
            dbt.cli("migrate")
            service = dbt.start("serve")
            facts = fill(dbt, service) | {
                "modules": str(modules), "chromium": chromium, "screenshots": str(machine.logs), "binary": str(dbt.binary),
                "settings": dbt.environment,
            }
            files = [HERE / f"{test}.test.mjs" for test in tests] or sorted(HERE.glob("*.test.mjs"))
            environment = os.environ | {"CONSOLE_FACTS": json.dumps(facts)}
            for file in files:
                command = ["node", "--test", "--test-reporter=spec", file]
                done = subprocess.run(command, env=environment, cwd=HERE, timeout=600)
                check(done.returncode == 0, f"tests in {file.name} failed")
    finally:
        for step in after:
            step()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.argv[1] == "--missing":
        if not packages().is_there():
            print(" ", packages().commands())
        return 0
    if sys.argv[1] == "--modules":
        print(packages().install())
        return 0
    try:
        run(sys.argv[1], sys.argv[2:])
    except Skipped as why:
        print(f"Skipped: {why}")
        return SKIPPED
    except Failed as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
