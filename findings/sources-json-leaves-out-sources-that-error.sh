#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: a source whose table is gone is listed in sources.json with the status `runtime error`, as the schema of sources.json defines it
# and as dbt-core 1.7 writes it. At least, its absence can be distinguished from "nothing was selected".
#
# Seen: `dbt source freshness` omits it. When all sources are gone, `results` is empty, as if nothing had been selected. Only the elapsed
# time and the exit code differ.
#
#     one of two gone: exit 1, ['source.bakery.raw.deliveries pass'] elapsed_time above 0
#     both gone: exit 1, [] elapsed_time above 0
#     nothing selected: exit 0, [] elapsed_time 0.0
#
# Why it matters: a reader of sources.json sees nothing wrong in the worst case. An empty `results` with an `elapsed_time` above 0 means
# that every source failed. That one of several failed shows only in comparison with the manifest.
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
    tables: [{name: deliveries}, {name: orders}]
END

results() {
    python -c 'import json
sources = json.load(open("target/sources.json"))
results = sorted(result["unique_id"] + " " + result["status"] for result in sources["results"])
print(results, "elapsed_time", sources["elapsed_time"] and "above 0")'
}
sql() {
    python -c 'import duckdb, sys; duckdb.connect("bakery.duckdb").execute(sys.argv[1])' "$1"
}

sql "create table deliveries as select (now() at time zone 'UTC') as loaded_at"
one="one of two gone: exit $(code_of dbt source freshness), $(results)"
sql "drop table deliveries"
both="both gone: exit $(code_of dbt source freshness), $(results)"
none="nothing selected: exit $(code_of dbt source freshness --select bread), $(results)"

as_described "$one
$both
$none" <<'END'
one of two gone: exit 1, ['source.bakery.raw.deliveries pass'] elapsed_time above 0
both gone: exit 1, [] elapsed_time above 0
nothing selected: exit 0, [] elapsed_time 0.0
END
