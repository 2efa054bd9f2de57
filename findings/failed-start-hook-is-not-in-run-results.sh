#!/usr/bin/env bash
# dbt-core 1.7.20 (dbt-duckdb 1.7.5), seen 2026-11-28.
#
# Expected: when an on-run-start hook fails, dbt stops, or run_results.json lists the hook as an error. dbt-core 1.12 lists it, and every
# model as skipped.
#
# Seen: dbt reports the database error, builds everything anyway and exits with 1. run_results.json has only successes, and does not list
# the hook.
#
#     exit 1
#     ['model.bakery.bread success']
#
# Why it matters: by its exit code the run failed, but no artifact says so. Only the program that started dbt can know.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages dbt-core==1.7.20 dbt-duckdb==1.7.5 duckdb==2.0.1 "setuptools<80"

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

code=$(code_of dbt build)
grep -q "no_such_table does not exist" output || { echo "CHANGED: the hook did not fail" >&2; exit 1; }
as_described "exit $code
$(python -c 'import json
print(sorted(result["unique_id"] + " " + result["status"] for result in json.load(open("target/run_results.json"))["results"]))')" <<'END'
exit 1
['model.bakery.bread success']
END
