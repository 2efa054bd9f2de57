"""PostgreSQL, its standbys, and PgBouncer."""
import contextlib
import signal
import socket
import subprocess
import threading
import time

from packages import installed_postgres
from processes import as_servers_user, check, free_port, servers_user, wait

SUPERUSER, PASSWORD = "postgres", "secret of tests"
QUOTED = "secret%20of%20tests"


class Postgres:
    """A server that keeps its data until the end of the machine."""

    def __init__(self, machine, name, programs, primary=None, settings=()):
        self.machine, self.name, self.programs, self.port = machine, name, programs, free_port()
        self.folder = machine.make_folder(name, servers_user()) / "data"
        if primary:
            self.copy(primary)
        else:
            self.create()
        # Enough locks and connections for several services, as docs/operations.md says.
        own = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=400", "wal_keep_size=1GB",
               "dynamic_shared_memory_type=mmap")
        options = [word for setting in (*own, *settings) for word in ("-c", setting)]
        command = [self.programs / "postgres", "-D", self.folder, "-p", self.port, *options]
        self.process = machine.run(name, as_servers_user(command))
        self.process.ending = signal.SIGQUIT
        self.wait_until_it_answers()

    def create(self):
        password = self.folder.parent / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(as_servers_user([self.programs / "initdb", "-D", self.folder, *options]), check=True, capture_output=True, cwd="/")

    def copy(self, primary):
        """Makes this a streaming standby."""
        source = f"{primary.url()}?application_name={self.name}"
        command = [self.programs / "pg_basebackup", "-d", source, "-D", self.folder, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        subprocess.run(as_servers_user(command), check=True, capture_output=True, cwd="/")

    def wait_until_it_answers(self, seconds=60):
        wait(f"{self.name} answers", lambda: self.sql("SELECT 1") == "1", seconds)

    def host(self):
        return f"127.0.0.1:{self.port}"

    def url(self, database="postgres", user=SUPERUSER, password=QUOTED):
        return f"postgresql://{user}:{password}@{self.host()}/{database}"

    def sql(self, statements, database="postgres", user=SUPERUSER, password=QUOTED):
        """Runs statements, and returns what they print, in lines with columns that are separated by |."""
        command = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", self.url(database, user, password), "-f", "-"]
        done = subprocess.run(command, input=statements, capture_output=True, text=True)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, statements, done.stdout, done.stderr)
        return done.stdout.strip()

    def version(self):
        return self.sql("SHOW server_version").split()[0]

    def start(self):
        self.process.start()
        self.wait_until_it_answers()

    def promote(self):
        self.sql("SELECT pg_promote(wait => false)")

    def is_standby(self):
        return self.sql("SELECT pg_is_in_recovery()") == "t"

    def wait_for_standby(self, standby):
        """Waits until a standby has replayed what this server has written."""
        position = self.sql("SELECT pg_current_wal_flush_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait(f"{standby.name} follows", lambda: standby.sql(replayed) == "t")


def newest_installed_postgres():
    """Returns the programs of the newest version that is installed, with those that copy a server."""
    found = {version: folder for version, folder in installed_postgres().items() if (folder / "pg_basebackup").exists()}
    check(found, "no PostgreSQL is installed in /usr/lib/postgresql")
    return found[max(found)]


class MovingAddress:
    """An address that leads to the first of these servers that accepts connections, as a virtual address or HAProxy does."""

    def __init__(self, *servers):
        self.servers, self.listener = servers, socket.create_server(("127.0.0.1", free_port()), backlog=100)
        threading.Thread(target=self.accept, daemon=True).start()

    def host(self):
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        for server in self.servers:
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", server.port))
                threading.Thread(target=forward, args=(client, connection), daemon=True).start()
                return forward(connection, client)
        client.close()


def forward(source, target):
    with contextlib.suppress(OSError):
        while sent := source.recv(1 << 16):
            target.sendall(sent)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class PgBouncer:
    """A pooler in front of a server."""

    def __init__(self, machine, name, server, user, mode, ignored=(), pool_size=100):
        self.port, self.server, self.ignored = free_port(), server, ignored
        folder = machine.make_folder(name, servers_user())
        users = folder / "users.txt"
        users.write_text(f'"{user}" "{PASSWORD}"\n')
        users.chmod(0o644)
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "scram-sha-256", "auth_file": users,
            "pool_mode": mode, "default_pool_size": pool_size, "max_client_conn": 1000, "server_login_retry": 1, "admin_users": user,
        }
        if ignored:
            settings["ignore_startup_parameters"] = ",".join(ignored)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        file = folder / "pgbouncer.ini"
        file.write_text("\n".join(["[databases]", f"* = host=127.0.0.1 port={server.port}", "[pgbouncer]", *lines, ""]))
        file.chmod(0o644)
        self.process = machine.run(name, as_servers_user(["pgbouncer", file]))
        wait(f"{name} listens", lambda: "process up" in self.process.text())

    def host(self):
        return f"127.0.0.1:{self.port}"

    def url(self, database, user, password=QUOTED):
        return f"postgresql://{user}:{password}@{self.host()}/{database}"


def pgbouncer_version():
    printed = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, check=True).stdout
    return printed.split()[1]


def seconds_of(action):
    """Returns how long an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started
