#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: after Ctrl-C (SIGINT), run_results.json lists the model that was running and those that never started, and manifest.json has the
# fields that a build adds.
#
# Seen: run_results.json lists only models that had finished, all with `success`. manifest.json is the one written after parsing: no node
# has `build_path` or `compiled`, which every table and view has after a build that was not interrupted.
#
#     interrupted: exit 2
#     results: ['model.bakery.bread success']
#     in the manifest: {'model.bakery.bread': (False, None), 'model.bakery.slow': (False, None), 'model.bakery.top': (False, None)}
#     finished: exit 0
#     results: ['model.bakery.bread success', 'model.bakery.slow success', 'model.bakery.top success']
#     in the manifest: {'model.bakery.bread': (True, True), 'model.bakery.slow': (True, True), 'model.bakery.top': (True, True)}
#
# Why it matters: an uploader that does not know the exit code sends files that all report success. The only trace is that nodes with a
# success in run_results.json have no `build_path` in the manifest of the same invocation.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
models: {+materialized: table}
END
cat > profiles.yml <<'END'
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 1}}}
END
echo "select 1 as one" > models/bread.sql
# Keeps DuckDB busy for minutes.
echo "select sum(hash(a.range * b.range)) as n from {{ ref('bread') }}, range(200000) a, range(200000) b" > models/slow.sql
echo "select n from {{ ref('slow') }}" > models/top.sql

report() {
    python -c 'import json
manifest, results = (json.load(open(f"target/{name}.json")) for name in ("manifest", "run_results"))
assert manifest["metadata"]["invocation_id"] == results["metadata"]["invocation_id"]
print("results:", sorted(result["unique_id"] + " " + result["status"] for result in results["results"]))
print("in the manifest:", {name: (bool(node.get("build_path")), node.get("compiled")) for name, node in sorted(manifest["nodes"].items())})'
}

# Background processes of a script ignore SIGINT; `env` undoes that.
env --default-signal=INT dbt build > output 2>&1 &
dbt=$!
for _ in $(seq 600); do
    if grep -q "START sql table model main.slow" output; then break; fi
    sleep 0.2
done
sleep 1
kill -INT "$dbt"
code=0
wait "$dbt" || code=$?
interrupted="interrupted: exit $code
$(report)"

echo "select 1 as n from {{ ref('bread') }}" > models/slow.sql
finished="finished: exit $(code_of dbt build)
$(report)"

as_described "$interrupted
$finished" <<'END'
interrupted: exit 2
results: ['model.bakery.bread success']
in the manifest: {'model.bakery.bread': (False, None), 'model.bakery.slow': (False, None), 'model.bakery.top': (False, None)}
finished: exit 0
results: ['model.bakery.bread success', 'model.bakery.slow success', 'model.bakery.top success']
in the manifest: {'model.bakery.bread': (True, True), 'model.bakery.slow': (True, True), 'model.bakery.top': (True, True)}
END
