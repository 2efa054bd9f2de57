#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: a source whose table has no rows has no `max_loaded_at` in sources.json, or has a separate status.
#
# Seen: its newest row is dated January 1 of the year 1, some 63.9 billion seconds ago, and the source is stale.
#
#     exit 0
#     status: warn
#     max_loaded_at: 0001-01-01T00:00:00+00:00
#     max_loaded_at_time_ago_in_s: 63931437031.07951
#
# Why it matters: an empty table looks like a very old one. The time is outside the range of many programs (pandas' timestamps begin in
# 1677, as do signed nanoseconds since 1970), and one such source makes every average or chart of ages useless.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
END
cat > profiles.yml <<'END'
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 1}}}
END
echo "select 1 as one" > models/bread.sql
cat > models/sources.yml <<'END'
sources:
  - name: raw
    schema: main
    config:
      loaded_at_field: loaded_at
      freshness: {warn_after: {count: 12, period: hour}}
    tables: [{name: deliveries}]
END

python -c 'import duckdb; duckdb.connect("bakery.duckdb").execute("create table deliveries (loaded_at timestamp)")'
code=$(code_of dbt source freshness)
as_described "exit $code
$(python -c 'import json
for result in json.load(open("target/sources.json"))["results"]:
    print("status:", result["status"])
    print("max_loaded_at:", result["max_loaded_at"])
    print("more than 2000 years ago:", result["max_loaded_at_time_ago_in_s"] > 2000 * 365.25 * 86400)')" <<'END'
exit 0
status: warn
max_loaded_at: 0001-01-01T00:00:00+00:00
more than 2000 years ago: True
END
