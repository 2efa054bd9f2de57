#!/usr/bin/env python3
"""Checks deploy/kubernetes without a cluster. check.py describes the checks.

    tests/kubernetes/run.py [BINARY]
    tests/kubernetes/run.py --missing

With BINARY, which is dbt-api, variables and commands are compared with those it knows. The requirements of check.py are installed into a
virtual environment under .dev/kubernetes: kubectl, which includes kustomize, and the schemas of Kubernetes. Exits with 77 if that fails.
--missing prints the command that creates that environment, if it does not exist.
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
# The name depends on the requirements.
FOLDER = ROOT / ".dev/kubernetes" / hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
PIP = [FOLDER / "bin/pip", "install", "-q", "--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "-r", REQUIREMENTS]


def make_environment():
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True)
        subprocess.run(PIP, capture_output=True, text=True, check=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        words = getattr(error, "stderr", None) or str(error)
        print(f"Skipped: the requirements of the check cannot be installed: {str(words).strip()[-500:]}")
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
