#!/usr/bin/env python3
"""Checks deploy/kubernetes without a cluster. check.py describes the checks.

    tests/kubernetes/run.py [BINARY]

With BINARY, which is dbt-api, variables and commands are compared with those it knows. The requirements of check.py are installed into a
virtual environment under .dev/kubernetes: kubectl, which includes kustomize, and the schemas of Kubernetes. Exits with 77 if that fails.
"""
import hashlib
import pathlib
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SKIPPED = 77


def environment():
    """Returns the virtual environment, created if the requirements are new."""
    requirements = HERE / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".dev/kubernetes" / digest
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        pip = [folder / "bin/pip", "install", "-q", "--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "-r", requirements]
        subprocess.run(pip, capture_output=True, text=True, check=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        words = getattr(error, "stderr", None) or str(error)
        print(f"Skipped: the requirements of the check cannot be installed: {str(words).strip()[-500:]}")
        sys.exit(SKIPPED)
    (folder / "ready").touch()
    return folder


sys.exit(subprocess.run([environment() / "bin/python", HERE / "check.py", *sys.argv[1:]]).returncode)
