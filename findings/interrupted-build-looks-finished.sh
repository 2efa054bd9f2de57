#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: after Ctrl-C (SIGINT) run_results.json tells of the model that was running and of those that never began, and manifest.json
# has what a build adds to it.
#
# Seen: run_results.json lists only what had ended, and all of it is `success`. manifest.json is the one that was written after parsing:
# no node has `build_path` or `compiled` in it, which every table and view has after a build that ends by itself.
#
#     interrupted: exit 2
#     results: ['model.bakery.bread success']
#     in the manifest: {'model.bakery.bread': (False, None), 'model.bakery.slow': (False, None), 'model.bakery.top': (False, None)}
#     finished: exit 0
#     results: ['model.bakery.bread success', 'model.bakery.slow success', 'model.bakery.top success']
#     in the manifest: {'model.bakery.bread': (True, True), 'model.bakery.slow': (True, True), 'model.bakery.top': (True, True)}
#
# Why it matters: an uploader that does not know the exit code sends files of which each says that all went well. That nodes which
# have a success in run_results.json have no `build_path` in the manifest of the same invocation is the trace that is left.
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
# Minutes of work for DuckDB
echo "select sum(hash(a.range * b.range)) as n from {{ ref('bread') }}, range(200000) a, range(200000) b" > models/slow.sql
echo "select n from {{ ref('slow') }}" > models/top.sql

told() {
    python -c 'import json
manifest, results = (json.load(open(f"target/{name}.json")) for name in ("manifest", "run_results"))
assert manifest["metadata"]["invocation_id"] == results["metadata"]["invocation_id"]
print("results:", sorted(result["unique_id"] + " " + result["status"] for result in results["results"]))
print("in the manifest:", {name: (bool(node.get("build_path")), node.get("compiled")) for name, node in sorted(manifest["nodes"].items())})'
}

# What a script starts in the background ignores SIGINT, which `env` undoes.
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
$(told)"

echo "select 1 as n from {{ ref('bread') }}" > models/slow.sql
finished="finished: exit $(code_of dbt build)
$(told)"

as_described "$interrupted
$finished" <<'END'
interrupted: exit 2
results: ['model.bakery.bread success']
in the manifest: {'model.bakery.bread': (False, None), 'model.bakery.slow': (False, None), 'model.bakery.top': (False, None)}
finished: exit 0
results: ['model.bakery.bread success', 'model.bakery.slow success', 'model.bakery.top success']
in the manifest: {'model.bakery.bread': (True, True), 'model.bakery.slow': (True, True), 'model.bakery.top': (True, True)}
END
