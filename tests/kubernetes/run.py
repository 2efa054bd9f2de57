#!/usr/bin/env python3
"""Checks deploy/kubernetes without a cluster; check.py says what.

    tests/kubernetes/run.py [BINARY]

BINARY is dbt-api: with it, variables and commands are compared with what it knows. What check.py needs is installed into an environment
of its own under .dev/kubernetes: kubectl, which has kustomize in it, and the schemas of Kubernetes. Exits with 77 where that cannot be.
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
    """The virtual environment, made when the requirements are new."""
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
        print(f"Skipped: what the check needs cannot be installed here: {str(words).strip()[-500:]}")
        sys.exit(SKIPPED)
    (folder / "ready").touch()
    return folder


sys.exit(subprocess.run([environment() / "bin/python", HERE / "check.py", *sys.argv[1:]]).returncode)
