"""Processes on this machine: their ports, their logs, and what ends them."""
import contextlib
import http.client
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOGS = ROOT / ".dev/log/production"
# Linux gives connections ports above these. A server that is started again must not find its port taken by one.
PORTS = range(20000, 32000)


class Failed(Exception):
    """Something is not as it should be."""


def check(condition, *what):
    """Fails with these words if the condition does not hold."""
    if not condition:
        raise Failed(" ".join(str(part) for part in what))


def wait(what, condition, seconds=60):
    """Waits for a condition and returns its value. A server that does not answer is not an error."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, http.client.HTTPException, subprocess.CalledProcessError) as error:
            last = error
        time.sleep(0.05)
    raise Failed(f"after {seconds} s still waiting: {what} (last: {str(last)[:500]})")


def free_port(used=set()):
    """Returns a port that nothing listens on, and that was not returned before."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in used:
                used.add(port)
                return port


def children_of(pid):
    """Returns the ids of all processes below this one."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines())
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [below for child in found for below in children_of(child)]


class Process:
    """A process that can be started again after its end."""

    def __init__(self, name, command, log, environment=None):
        self.name, self.command, self.log, self.environment = name, list(map(str, command)), log, environment
        self.process = None
        # PostgreSQL leaves shared memory behind when it is killed, so it ends otherwise when it is not part of the test.
        self.ending = signal.SIGKILL
        self.start()

    def start(self):
        check(not self.alive(), self.name, "runs already")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Ends it, and what it started, as if the machine had lost its power."""
        family = [self.process.pid, *children_of(self.process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait(f"{self.name} is gone", lambda: not any(is_there(pid) for pid in family[1:]), 20)

    def end(self):
        """Ends it at the end of the test, whatever it is doing."""
        if self.alive():
            self.process.send_signal(self.ending)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.alive():
            self.kill()

    def stop(self, seconds=60):
        """Asks it to end, and returns its exit code."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def text(self):
        return self.log.read_text(errors="replace")


def is_there(pid):
    """Whether a process still runs. One that ended, and whose parent does not know yet, does not."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Machine:
    """The processes of one subject, with a folder for their data. The logs stay in .dev/log/production."""

    def __init__(self, subject):
        self.logs = LOGS / subject
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        # In memory where there is room, and short, because of sockets.
        shared = pathlib.Path("/dev/shm")
        roomy = shared.is_dir() and shutil.disk_usage(shared).free > 2 << 30
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dbt-api-", dir=shared if roomy else None))
        self.folder.chmod(0o755)
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in reversed(self.processes):
            process.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, Failed):
            for process in self.processes:
                tail = process.text().splitlines()[-12:]
                print(f"---- the log of {process.name} ends so ({process.log.relative_to(ROOT)}):", *tail, sep="\n", flush=True)

    def run(self, name, command, environment=None):
        process = Process(name, command, self.logs / f"{name}.log", environment)
        self.processes.append(process)
        return process

    def beside(self, prefix):
        """Returns the same machine, with names of processes and folders that begin with this."""
        return Beside(self, prefix)

    def make_folder(self, name, owner=None):
        """Makes an empty folder, which belongs to this user."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if owner:
            shutil.chown(folder, owner)
        return folder


class Beside:
    """A machine whose names begin with a prefix."""

    def __init__(self, machine, prefix):
        self.machine, self.prefix = machine, prefix

    def run(self, name, command, environment=None):
        return self.machine.run(f"{self.prefix}-{name}", command, environment)

    def make_folder(self, name, owner=None):
        return self.machine.make_folder(f"{self.prefix}-{name}", owner)


def servers_user():
    """PostgreSQL and PgBouncer refuse to run as root. Returns the user they run as, or None if that is us."""
    if os.geteuid():
        return None
    names = [user.pw_name for user in pwd.getpwall()]
    return "postgres" if "postgres" in names else "nobody"


def as_servers_user(command):
    """Returns the command that runs this command as that user."""
    user = servers_user()
    if not user:
        return list(map(str, command))
    group = pwd.getpwnam(user).pw_gid
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--", *map(str, command)]
