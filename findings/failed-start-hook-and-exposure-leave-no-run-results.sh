#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: when an on-run-start hook fails, `dbt build` lists the hook as an error and everything else as skipped, and exits with 1.
# Without an exposure, it does.
#
# Seen: with an exposure in the selection, dbt itself fails when it tries to skip the exposure, and writes no run_results.json at all.
#
#     without an exposure: exit 1, ['model.bakery.bread skipped', 'operation.bakery.bakery-on-run-start-0 error']
#     with an exposure: exit 2, no run_results.json
#     'Exposure' object has no attribute 'schema'
#
# Why it matters: a failed run leaves only a manifest.json, which looks like that of `dbt parse`. Next to an older run_results.json, it
# looks like the run before.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
on-run-start: ["select * from no_such_table"]
END
cat > profiles.yml <<'END'
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 1}}}
END
echo "select 1 as one" > models/bread.sql

results() {
    python -c 'import json, os
print(sorted(result["unique_id"] + " " + result["status"] for result in json.load(open("target/run_results.json"))["results"])
      if os.path.exists("target/run_results.json") else "no run_results.json")'
}

without="without an exposure: exit $(code_of dbt build), $(results)"
rm target/run_results.json
cat > models/counter.yml <<'END'
exposures:
  - name: counter
    type: dashboard
    owner: {name: Baker}
    depends_on: [ref('bread')]
END
with="with an exposure: exit $(code_of dbt build), $(results)"

as_described "$without
$with
$(grep -o "'Exposure' object has no attribute '[a-z_]*'" output | head -n 1)" <<'END'
without an exposure: exit 1, ['model.bakery.bread skipped', 'operation.bakery.bakery-on-run-start-0 error']
with an exposure: exit 2, no run_results.json
'Exposure' object has no attribute 'schema'
END
