"""Clients of an installation that is being damaged: those that upload, one that reads, and the count of what became of it all."""
import collections
import http.client
import itertools
import threading
import time

from installation import ERROR, SUCCESS, results
from processes import Failed, check, wait

AT_ONCE = 8
# Every how many uploads a run failed.
FAILED_RUNS = 5
PAGE = 100


class Uploads:
    """Uploads by several clients at once, each to a process that runs. As dbt-coves does, none is tried again."""

    def __init__(self, services, token):
        self.services, self.token = services, token
        # By the name of the run: the status that it must be shown with, the event of those that were acknowledged, and when it began.
        self.expected, self.acknowledged = {}, {}
        self.begun = {}
        # In the current phase: what was answered instead of 201, and how long the slowest 201 took.
        self.refused, self.slowest = collections.Counter(), 0
        self.numbers, self.changed = itertools.count(), threading.Condition()
        self.limit, self.ended = 0, False
        self.clients = [threading.Thread(target=self.upload_until_the_end, daemon=True) for _ in range(AT_ONCE)]
        for client in self.clients:
            client.start()

    def allow(self, limit):
        """Lets clients upload until this many are acknowledged."""
        with self.changed:
            self.limit = limit
            self.changed.notify_all()

    def wait_for(self, count, seconds=120):
        wait(f"{count} uploads are acknowledged", lambda: len(self.acknowledged) >= count, seconds)

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        for client in self.clients:
            client.join()

    def upload_until_the_end(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or len(self.acknowledged) < self.limit)
                if self.ended:
                    return
                number = next(self.numbers)
                living = [service for service in self.services if service.process.alive()]
            self.upload(living[number % len(living)], f"run {number}", number % FAILED_RUNS == 0)

    def upload(self, service, run, has_failed=False, environment="prod"):
        """Uploads a run, and returns whether that was acknowledged."""
        self.expected[run], self.begun[run] = ERROR if has_failed else SUCCESS, time.monotonic()
        try:
            answer = service.upload(self.token, run, results(int(has_failed)), environment)
        except (OSError, http.client.HTTPException):
            self.refused["no answer"] += 1
            return False
        if answer.status != 201:
            self.refused[answer.status] += 1
            return False
        self.acknowledged[run] = answer.json()["data"]["event_id"]
        self.slowest = max(self.slowest, answer.seconds)
        return True


class Reader:
    """Reads all the time, and compares what it sees with what it saw before and with what was uploaded."""

    def __init__(self, services, token, uploads):
        self.services, self.token, self.uploads = services, token, uploads
        self.numbers, self.answers, self.wrong = {}, collections.Counter(), []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.read_until_the_end, daemon=True)
        self.thread.start()

    def end(self):
        self.ended.set()
        self.thread.join()

    def read_until_the_end(self):
        for turn in itertools.count():
            if self.ended.wait(0.02) or self.wrong:
                return
            self.read(self.services[turn % len(self.services)], turn)

    def read(self, service, turn):
        # The newest, and now and then a page of what is older.
        offset = 0 if turn % 4 else PAGE * (turn // 4 % (len(self.numbers) // PAGE + 1))
        path = f"/api/v2/accounts/1/runs/?limit={PAGE}&offset={offset}&order_by=-id&include_related=%5B%22trigger%22%5D"
        try:
            answer = service.get(self.token, path)
        except (OSError, http.client.HTTPException):
            self.answers["no answer"] += 1
            return
        self.answers[answer.status] += 1
        if answer.status == 200:
            self.compare(answer.json()["data"], service)
        elif answer.status != 503:
            self.wrong.append(f"{service.name} answers {answer.status}: {answer.body[:300]}")

    def compare(self, runs, service):
        for run in runs:
            name, number, status = name_of(run), run["id"], run["status"]
            if self.numbers.setdefault(name, number) != number:
                self.wrong.append(f"{service.name} shows the run {name!r} as {number}; it was {self.numbers[name]}")
            if self.uploads.expected.get(name) != status:
                self.wrong.append(f"{service.name} shows the run {name!r} with status {status}; expected {self.uploads.expected.get(name)}")

    def check(self):
        check(not self.wrong, "a read was wrong:", self.wrong[:3])


def name_of(run):
    return run["trigger"]["cause"].removeprefix("Airflow: ")


def newest(service, token, environment):
    """Returns the names of the newest runs of an environment; none if the service does not answer with 200."""
    path = f"/api/v2/accounts/1/runs/?limit=20&order_by=-id&environment_id={environment}&include_related=%5B%22trigger%22%5D"
    answer = service.get(token, path)
    return [name_of(run) for run in answer.json()["data"]] if answer.status == 200 else []


def all_runs(service, token):
    """Returns all runs, page by page."""
    runs = []
    while True:
        total, page = service.runs(token, offset=len(runs), order_by="id")
        runs += page
        if not page or len(runs) >= total:
            return runs


def audit(installation, service, uploads, reader):
    """Checks that each acknowledged upload is in the bucket and shown once, with its status, and that nothing else is shown."""
    events = installation.cli("events", "list", "--type", "dbt.artifacts.uploaded", "--limit", "1000000", timeout=600)
    stored = [event["id"] for event in events]
    lost = set(uploads.acknowledged.values()) - set(stored)
    check(not lost, f"{len(lost)} acknowledged uploads are not in the bucket:", list(lost)[:3])
    check(len(stored) == len(set(stored)), "an event is in the journal twice")
    service.wait_for_runs(uploads.token, len(stored), seconds=120)
    runs = all_runs(service, uploads.token)
    names = collections.Counter(name_of(run) for run in runs)
    doubled = [name for name, count in names.items() if count > 1]
    check(not doubled, f"{len(doubled)} runs are shown twice:", doubled[:3])
    missing = set(uploads.acknowledged) - set(names)
    check(not missing, f"{len(missing)} acknowledged uploads are not shown:", list(missing)[:3])
    reader.compare(runs, service)
    reader.check()
    letters = installation.cli("dead-letters", "list")
    check(letters == [], "dead letters:", letters)
    started = time.monotonic()
    installation.verify(timeout=900)
    seconds = time.monotonic() - started
    return f"{len(uploads.acknowledged)} acknowledged, {len(runs)} shown, 0 lost, 0 doubled, `rebuild --verify` clean in {seconds:.0f} s"


class Probe:
    """Measures how long it takes until a fresh upload is shown."""

    numbers = itertools.count()

    def __init__(self, ingests, apis, uploads, environment):
        self.ingests, self.apis, self.uploads, self.environment = ingests, apis, uploads, environment

    def seconds_until_shown(self, since, patience=90):
        """Uploads until it is acknowledged, waits until that is shown, and returns the seconds since this time."""
        run = f"probe {next(self.numbers)}"
        while not self.uploads.upload(self.living(self.ingests), run, environment="dev"):
            if time.monotonic() > since + patience:
                raise Failed(f"after {patience} s, no upload is accepted")
            run = f"probe {next(self.numbers)}"
        wait(f"the upload {run!r} is shown", lambda: run in newest(self.living(self.apis), self.uploads.token, self.environment), patience)
        return time.monotonic() - since

    @staticmethod
    def living(services):
        return next(service for service in services if service.process.alive())
