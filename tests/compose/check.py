#!/usr/bin/env python3
"""Checks docker-compose.yml and Dockerfile without a container engine.

    tests/compose/check.py BINARY

It reads both files: images have a version and a digest, only the service is published, services and volumes that are named exist, dbt-api
knows each variable and command, and the services agree about addresses and passwords. Then it runs each command of dbt-api in these files,
those of the comment at the top of docker-compose.yml included, with the variables that the file sets. Only addresses and folders are those of
this machine. Needs a PostgreSQL (DATABASE_URL), nats-server, curl, and yaml for Python. It cannot check the images themselves.
"""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request
from urllib.parse import unquote, urlsplit

import yaml

from read import ROOT, Compose, interpolated, stages

sys.path.insert(0, str(ROOT / "tests/clients"))
from local import free_port, wait  # noqa: E402

BINARY = pathlib.Path(sys.argv[1]).resolve()
AN_IMAGE = re.compile(r"[a-z0-9./-]+:[a-z]*[0-9][\w.-]*@sha256:[0-9a-f]{64}")
# debian:bookworm-slim has no number in its tag.
A_BASE = re.compile(r"[a-z0-9./-]+:[a-z0-9][\w.-]*@sha256:[0-9a-f]{64}")
compose = Compose()
problems = []


def expect(truth, problem):
    if not truth:
        problems.append(problem)


def run(arguments, environment, **options):
    return subprocess.run([str(BINARY), *arguments], env=environment, text=True, capture_output=True, **options)


def images():
    for name, service in compose.services.items():
        expect("build" in service or AN_IMAGE.fullmatch(service["image"]), f"{name}: expected an image with version and digest, got {service['image']}")
        if "build" in service:
            expect(service["build"]["target"] in stages(), f"{name}: Dockerfile has no stage {service['build']['target']}")
    for stage, base in stages().items():
        expect(base in stages() or A_BASE.fullmatch(base), f"Dockerfile: expected a base with tag and digest for {stage}, got {base}")
    expect(list(stages())[-1] == "dbt-api", "Dockerfile: a build without a target makes the last stage, which must be dbt-api")


def names():
    volumes = set()
    for name, service in compose.services.items():
        for other, how in service.get("depends_on", {}).items():
            target = compose.services.get(other)
            if target is None:
                expect(False, f"{name} depends on {other}, which does not exist")
                continue
            optional = how.get("required") is False
            expect(optional or "profiles" not in target or "profiles" in service, f"{name} needs {other}, which starts only with a profile")
            match how["condition"]:
                case "service_healthy":
                    expect(compose.has_healthcheck(other), f"{name} waits for {other}, which has no healthcheck")
                case "service_completed_successfully":
                    expect("restart" not in target, f"{name} waits for the end of {other}, which is started again")
        volumes |= {volume.split(":")[0] for volume in service.get("volumes", [])}
        expect(name == "dbt-api" or "ports" not in service, f"{name}: only dbt-api may publish ports")
    expect(volumes == set(compose.volumes), f"volumes that are used: {sorted(volumes)}; that are declared: {sorted(compose.volumes)}")
    published = [interpolated(port) for port in compose.services["dbt-api"]["ports"]]
    expect(published == [f"127.0.0.1:8080:{compose.image_variables['PORT']}"], f"dbt-api publishes {published}")


def variables():
    known = set(run(["config", "variables"], os.environ).stdout.split())
    assert "STORAGE_ADAPTER" in known
    for name in compose.own:
        # The address at which the sample reaches the service is read by scripts/.
        unknown = set(compose.environment(name)) - known - ({"DBT_API_URL"} if name == "sample" else set())
        expect(not unknown, f"{name} sets what dbt-api does not know: {sorted(unknown)}")
    unknown = set(compose.image_variables) - known
    expect(not unknown, f"Dockerfile sets what dbt-api does not know: {sorted(unknown)}")
    for name in compose.interpolated_names:
        expect(name in compose.comment, f"{name} can be set, but the comment at the top does not say so")


def agreement():
    """The settings that name another service agree with the settings of that service."""
    ours = compose.environment("dbt-api")
    postgres, s3 = compose.environment("postgres"), compose.environment("s3")
    expect([ours[f"DB_{name}"] for name in ("NAME", "USER", "PASS")] == [postgres[f"POSTGRES_{name}"] for name in ("DB", "USER", "PASSWORD")],
           "dbt-api and postgres have different names or passwords")
    expect([ours["S3_ACCESS_KEY"], ours["S3_SECRET_ACCESS_KEY"]] == [s3["ROOT_ACCESS_KEY"], s3["ROOT_SECRET_KEY"]], "dbt-api and s3 have different keys")
    for variable, port in (("NATS_URL", 4222), ("S3_ENDPOINT", int(compose.command("s3")[1].strip(":")))):
        address = urlsplit(ours[variable])
        expect(address.hostname in compose.services and address.port == port, f"{variable} is {ours[variable]}, which is not the address of a service")
    expect(ours["DB_HOST"] in compose.services, f"DB_HOST is {ours['DB_HOST']}, which is not a service")
    expect(interpolated(compose.services["create-bucket"]["entrypoint"][-1]) == f"{compose.command('s3')[-1]}/{ours['S3_BUCKET_NAME']}",
           "create-bucket creates another bucket than S3_BUCKET_NAME")
    volume = interpolated(compose.services["dbt-api"]["volumes"][0])
    expect(volume == f"bucket:{compose.image_variables['STORAGE_PATH']}", f"the bucket is mounted as {volume}, and STORAGE_PATH is elsewhere")
    for adapter in ("local", "s3"):
        settings = compose.image_variables | compose.environment("dbt-api", STORAGE_ADAPTER=adapter)
        checked = run(["--json", "config", "check"], settings)
        expect(checked.returncode == 0 and f'"{adapter}"' in checked.stdout, f"config check with {adapter}: {checked.stdout}{checked.stderr}")


class Machine:
    """PostgreSQL, NATS and the service, with the settings of docker-compose.yml but for addresses and folders."""

    def __init__(self, folder, stack):
        self.folder, self.stack = folder, stack
        server = urlsplit(os.environ["DATABASE_URL"])
        database = f"dbt_api_compose_{os.getpid()}"
        for statement in (f"CREATE DATABASE {database}", f"DROP DATABASE {database} WITH (FORCE)"):
            command = ["psql", "-X", "-q", os.environ["DATABASE_URL"], "-c", statement]
            if statement.startswith("CREATE"):
                subprocess.run(command, check=True)
            else:
                stack.callback(subprocess.run, command, check=True)
        self.nats, self.port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.changed = {
            "DB_HOST": server.hostname, "DB_PORT": str(server.port), "DB_NAME": database, "DB_USER": unquote(server.username),
            "DB_PASS": unquote(server.password or "none"), "NATS_URL": f"nats://127.0.0.1:{self.nats}", "HOST": "127.0.0.1",
            "PORT": str(self.port), "STORAGE_PATH": str(folder / "bucket"), "PUBLIC_URL": self.url, "DBT_API_URL": self.url,
        }

    def environment(self, service):
        """What a container of this service has, with PATH and HOME of this machine."""
        of_image = compose.image_variables | compose.environment(service)
        return of_image | self.changed | {"PATH": f"{BINARY.parent}:{os.environ['PATH']}", "HOME": str(self.folder), "TMPDIR": str(self.folder)}

    def start(self, name, command, environment):
        log = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        return process

    def start_nats(self):
        monitor = free_port()
        words = [str(self.folder / "nats") if word == "/data" else str(monitor) if word == "8222" else word for word in compose.command("nats")]
        self.start("nats", ["nats-server", "-a", "127.0.0.1", "-p", str(self.nats), *words], os.environ)
        health = compose.services["nats"]["healthcheck"]["test"][-1].replace(":8222", f":{monitor}")
        wait("nats is healthy", lambda: urllib.request.urlopen(health).status == 200)

    def succeeds(self, service, arguments):
        done = run(arguments, self.environment(service))
        assert done.returncode == 0, f"dbt-api {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_sample(self):
        entry = ROOT / compose.entrypoint("sample")
        done = subprocess.run([entry], env=self.environment("sample"), text=True, capture_output=True)
        assert done.returncode == 0, f"{entry}: {done.stdout}{done.stderr}"
        runs, token = (re.search(rf"^  {name} +(\S+)$", done.stdout, re.MULTILINE)[1] for name in ("Runs", "Read token"))
        answer = urllib.request.urlopen(urllib.request.Request(runs, headers={"Authorization": f"Token {token}"})).read()
        assert answer.count(b'"job_definition_id":') >= 8, answer[:1000]


def run_all():
    """Runs the commands, and returns how many there were."""
    with contextlib.ExitStack() as stack:
        machine = Machine(pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        machine.start_nats()
        machine.succeeds("migrate", compose.command("migrate"))
        service = machine.start("service", [BINARY, *compose.command("dbt-api")], machine.environment("dbt-api"))
        healthy = compose.services["dbt-api"]["healthcheck"]["test"][2:]
        wait("dbt-api is healthy", lambda: run(healthy, machine.environment("dbt-api")).returncode == 0)
        commands = compose.commands_of_comment()
        assert len(commands) >= 6, commands
        for arguments in commands:
            machine.succeeds("dbt-api", arguments)
        machine.run_sample()
        machine.run_sample()
        service.terminate()
        expect(service.wait(30) == 0, "the service did not end with 0")
        return len(commands) + 5


def main():
    for check in (images, names, variables, agreement):
        check()
    if not problems:
        count = run_all()
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(f"docker-compose.yml and Dockerfile agree with the service; {count} commands were run. The images were neither pulled nor built.")
    return 0


sys.exit(main())
