#!/usr/bin/env python3
"""Checks deploy/kubernetes without a cluster; check.py says what.

    tests/kubernetes/run.py [BINARY]
    tests/kubernetes/run.py --missing

BINARY is dbt-api: with it, variables and commands are compared with what it knows. What check.py needs is installed into an environment
of its own under .dev/kubernetes: kubectl, which has kustomize in it, and the schemas of Kubernetes. Exits with 77 where that cannot be.
--missing prints the command that makes that environment, if it is not there yet.
"""
import hashlib
import pathlib
import shlex
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SKIPPED = 77


REQUIREMENTS = HERE / "requirements.txt"
# Another place when the requirements are new.
FOLDER = ROOT / ".dev/kubernetes" / hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
PIP = [FOLDER / "bin/pip", "install", "-q", "--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "-r", REQUIREMENTS]


def make_environment():
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True)
        subprocess.run(PIP, capture_output=True, text=True, check=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        words = getattr(error, "stderr", None) or str(error)
        print(f"Skipped: what the check needs cannot be installed here: {str(words).strip()[-500:]}")
        sys.exit(SKIPPED)
    (FOLDER / "ready").touch()


def main():
    missing = not (FOLDER / "ready").exists()
    if sys.argv[1:] == ["--missing"]:
        if missing:
            steps = [[sys.executable, "-m", "venv", FOLDER], PIP, ["touch", FOLDER / "ready"]]
            print(" ", " && ".join(shlex.join(map(str, step)) for step in steps))
        return 0
    if missing:
        make_environment()
    return subprocess.run([FOLDER / "bin/python", HERE / "check.py", *sys.argv[1:]]).returncode


sys.exit(main())
