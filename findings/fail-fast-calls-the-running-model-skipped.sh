#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: with --fail-fast, the model that was running when another failed has the same state everywhere, either `error` or `skipped`.
#
# Seen: the structured log says that it ended as `error`. run_results.json says that it was `skipped`, like models that never started.
#
#     exit 1
#     log: ('bread', 'error') ('slow', 'error')
#     run_results.json: ('bread', 'error') ('slow', 'skipped')
#
# Why it matters: `skipped` in run_results.json does not mean that nothing was done in the database, and counts of states from logs and from
# artifacts differ.
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
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 2}}}
END
# Both models start at once. slow takes DuckDB a long time, and is cancelled.
echo "select * from no_such_table" > models/bread.sql
echo "select sum(hash(a.range * b.range)) as n from range(100000) a, range(100000) b" > models/slow.sql

export DBT_LOG_FORMAT_FILE=json
code=$(code_of dbt build --fail-fast)
as_described "exit $code
$(python -c 'import json
log, results = {}, json.load(open("target/run_results.json"))["results"]
for line in open("logs/dbt.log"):
    event = json.loads(line)
    if event["info"]["name"] == "NodeFinished":
        log[event["data"]["node_info"]["node_name"]] = event["data"]["node_info"]["node_status"]
print("log:", *sorted(log.items()))
print("run_results.json:", *sorted((result["unique_id"].rsplit(".", 1)[1], result["status"]) for result in results))')" <<'END'
exit 1
log: ('bread', 'error') ('slow', 'error')
run_results.json: ('bread', 'error') ('slow', 'skipped')
END
