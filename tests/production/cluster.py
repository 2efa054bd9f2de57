"""An installation on several servers, each of which is killed while clients upload and read.

Three servers of NATS, a primary and a standby of PostgreSQL, PgBouncer before the standby, which the api reads from, an S3 server, and two
processes of each role.
"""
import time

from failover import url_of_both
from installation import Installation
from packages import pip_package
from postgres import SUPERUSER, PgBouncer, Postgres, newest_installed_postgres
from processes import Machine, check, wait
from replicas import IGNORED
from servers import Nats, SeaweedFs
from traffic import Probe, Reader, Uploads, audit

SHORT, WHOLE = 300, 3000
ROLES = ("ingest", "projector", "api")


def packages(_whole):
    return [pip_package("seaweedfs")]


def run(binary, whole):
    with Machine("cluster") as machine:
        Cluster(machine, binary, whole).run()


class Cluster:
    def __init__(self, machine, binary, whole):
        self.count = WHOLE if whole else SHORT
        self.nats, self.bucket = Nats(machine, 3), SeaweedFs(machine)
        programs = newest_installed_postgres()
        self.primary = Postgres(machine, "primary", programs)
        self.standby = Postgres(machine, "standby", programs, primary=self.primary)
        self.installation = Installation(machine, binary, self.primary.url(), self.nats.url, self.bucket.variables(), NATS_REPLICAS="3")
        self.installation.environment["DB_URL"] = url_of_both(self.primary, self.standby)
        self.installation.cli("migrate")
        self.installation.fill()
        self.token = self.installation.token()
        # Debian's PgBouncer keeps prepared statements only in this mode.
        self.pooler = PgBouncer(machine, "pgbouncer", self.standby, SUPERUSER, "session", IGNORED, pool_size=60)
        self.installation.environment["DB_READ_URL"] = self.pooler.url("postgres", SUPERUSER)
        self.services = {f"{role}{number}": self.installation.start(role, f"{role}{number}") for role in ROLES for number in (1, 2)}
        for service in self.services.values():
            service.wait_until_it_is_ready()
        wait("the stream has three replicas", self.nats.followers_are_current)
        ingests, apis = self.of("ingest"), self.of("api")
        self.uploads = Uploads(ingests, self.token)
        self.reader = Reader(apis, self.token, self.uploads)
        self.probe = Probe(ingests, apis, self.uploads, self.number_of_dev())
        self.rows = []

    def of(self, role):
        return [service for name, service in self.services.items() if name.startswith(role)]

    def number_of_dev(self):
        listed = self.installation.cli("environment", "list", "--account", "1")
        return next(one["id"] for one in listed if one["slug"] == "dev")

    def run(self):
        phases = [("nothing", None)]
        phases += [(name, lambda service=service: self.lose(service.process, service.start)) for name, service in self.services.items()]
        of_nats = ("the server of NATS that leads the stream", "another server of NATS", "the third server of NATS")
        phases += [(name, lambda number=number: self.lose_nats(number)) for number, name in enumerate(of_nats)]
        phases += [
            ("PostgreSQL's standby", lambda: self.lose(self.standby.process, self.standby.start)),
            ("PostgreSQL's primary; from its next start on", lambda: self.lose_until_it_is_back(self.primary.process, self.primary.start)),
            ("the S3 server; from its next start on", self.lose_bucket),
        ]
        phases.append(("PgBouncer before the standby", lambda: self.lose(self.pooler.process, self.pooler.process.start)))
        phases.append(("PostgreSQL's primary; the standby is promoted", self.lose_primary))
        for number, (name, lose) in enumerate(phases):
            self.phase(name, lose, number * self.count // len(phases), (number + 1) * self.count // len(phases))
        self.uploads.wait_for(self.count)
        self.uploads.end()
        outcome = audit(self.installation, self.of("api")[0], self.uploads, self.reader)
        self.reader.end()
        self.reader.check()
        self.print_table(outcome)

    def phase(self, name, lose, begin, end):
        """Kills something in the middle of uploads, and measures until a fresh upload is shown."""
        self.uploads.refused.clear()
        self.uploads.slowest = 0
        self.reader.answers.clear()
        self.uploads.allow((begin + end) // 2)
        self.uploads.wait_for((begin + end) // 2)
        # The second half begins now.
        self.uploads.allow(end)
        started = time.monotonic()
        seconds = lose() if lose else self.probe.seconds_until_shown(started)
        self.reader.check()
        allowed = {"no answer"} | ({503} if "S3" in name else set())
        unexpected = {status: count for status, count in self.uploads.refused.items() if status not in allowed}
        check(not unexpected, f"without {name}, uploads are answered with", unexpected)
        refused, answers, slowest = dict(self.uploads.refused), dict(self.reader.answers), self.uploads.slowest
        self.rows.append((name, seconds, refused, slowest, answers))
        print(f"  {name}: {seconds:.1f} s, uploads not accepted: {refused}, slowest {slowest:.1f} s, reads: {answers}", flush=True)

    def lose(self, process, start):
        """Kills what there is a second one of, and starts it again after it was measured."""
        process.kill()
        seconds = self.probe.seconds_until_shown(time.monotonic())
        start()
        self.wait_until_all_are_ready()
        return seconds

    def lose_until_it_is_back(self, process, start):
        if process.alive():
            process.kill()
        started = time.monotonic()
        start()
        seconds = self.probe.seconds_until_shown(started)
        self.wait_until_all_are_ready()
        return seconds

    def lose_nats(self, number):
        """Kills a server: number 0 is the one that leads the stream, 1 and 2 are the others."""
        leader = wait("the stream has a leader", self.nats.leader)
        process = self.nats.processes[[leader, *(name for name in self.nats.names if name != leader)][number]]
        seconds = self.lose(process, process.start)
        wait("all servers of NATS have the stream", self.nats.followers_are_current)
        return seconds

    def lose_bucket(self):
        """No upload may be accepted until the bucket is back."""
        self.bucket.process.kill()
        killed = time.monotonic()
        wait("uploads are refused", lambda: self.uploads.refused[503] >= 5)
        accepted = [run for run in list(self.uploads.acknowledged) if self.uploads.begun[run] > killed]
        check(not accepted, f"{len(accepted)} uploads were accepted without a bucket")
        return self.lose_until_it_is_back(self.bucket.process, self.bucket.process.start)

    def lose_primary(self):
        self.primary.process.kill()
        killed = time.monotonic()
        self.standby.promote()
        seconds = self.probe.seconds_until_shown(killed)
        self.wait_until_all_are_ready()
        return seconds

    def wait_until_all_are_ready(self):
        for service in self.services.values():
            service.wait_until_it_is_ready()

    def print_table(self, outcome):
        print(f"\n{self.count} uploads: {outcome}\n")
        print("| Killed | Seconds until a fresh upload is shown | Slowest upload | Uploads without 201 | Reads without 200 |")
        print("|---|---|---|---|---|")
        for name, seconds, refused, slowest, answers in self.rows:
            failed = sum(count for status, count in answers.items() if status != 200)
            print(f"| {name} | {seconds:.1f} | {slowest:.1f} | {sum(refused.values())} | {failed} of {sum(answers.values())} |")
