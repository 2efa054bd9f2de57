#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: `metadata.env`, where dbt puts the variables DBT_ENV_CUSTOM_ENV_*, is of the invocation that `metadata.invocation_id` names, in
# each artifact.
#
# Seen: when nothing in the project changed and it is parsed partially, manifest.json has the new invocation_id and the variables of the
# earlier invocation. run_results.json of the same invocation has the new ones.
#
#     manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'one'}, same invocation: True
#     manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'two'}, same invocation: True
#
# Why it matters: these variables are how schedulers mark artifacts with the run or job that they belong to. A manifest so marked goes to an
# earlier run; of one invocation's files the mark in run_results.json is the right one.
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

told() {
    python -c 'import json
manifest, results = (json.load(open(f"target/{name}.json"))["metadata"] for name in ("manifest", "run_results"))
print("manifest.json: {}, run_results.json: {}, same invocation: {}".format(
    manifest["env"], results["env"], manifest["invocation_id"] == results["invocation_id"]))'
}
for run in one two; do
    code=$(DBT_ENV_CUSTOM_ENV_RUN=$run code_of dbt build)
    [[ $code == 0 ]] || { cat output >&2; exit 1; }
    told >> told
done
as_described "$(cat told)" <<'END'
manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'one'}, same invocation: True
manifest.json: {'RUN': 'one'}, run_results.json: {'RUN': 'two'}, same invocation: True
END
