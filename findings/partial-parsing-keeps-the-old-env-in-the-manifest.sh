#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: in each artifact, `metadata.env`, which holds the variables DBT_ENV_CUSTOM_ENV_*, belongs to the invocation in
# `metadata.invocation_id`.
#
# Seen: when nothing in the project changed and it is parsed partially, manifest.json has the new invocation_id but the variables of the
# earlier invocation. run_results.json of the same invocation has the new variables.
#
#     manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'one'}, same invocation: True
#     manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'two'}, same invocation: True
#
# Why it matters: schedulers use these variables to mark artifacts with the run or job they belong to. A manifest marked this way is
# assigned to an earlier run. Among the files of one invocation, the mark in run_results.json is the right one.
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

report() {
    python -c 'import json
manifest, results = (json.load(open(f"target/{name}.json"))["metadata"] for name in ("manifest", "run_results"))
print("manifest.json: {}, run_results.json: {}, same invocation: {}".format(
    manifest["env"], results["env"], manifest["invocation_id"] == results["invocation_id"]))'
}
for run in one two; do
    code=$(DBT_ENV_CUSTOM_ENV_RUN=$run code_of dbt build)
    [[ $code == 0 ]] || { cat output >&2; exit 1; }
    report >> report
done
as_described "$(cat report)" <<'END'
manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'one'}, same invocation: True
manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'two'}, same invocation: True
END
