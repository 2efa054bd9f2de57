#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: a relation that already exists is not cloned, and the status in run_results.json says so: dbt has `no-op`, which it uses for
# exposures, and `skipped`.
#
# Seen: the status is `success` both times. Only the message differs.
#
#     exit 0: model.bakery.bread success OK
#     exit 0: model.bakery.bread success No-op
#
# Why it matters: a success of `clone` does not mean that the relation is a copy of the given state, nor that it was touched: it may be an
# old one. A program that counts clones has to read `message`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
END
cat > profiles.yml <<'END'
bakery:
  target: dev
  outputs:
    dev: {type: duckdb, path: bakery.duckdb, schema: dev, threads: 1}
    prod: {type: duckdb, path: bakery.duckdb, schema: prod, threads: 1}
END
echo "select 1 as one" > models/bread.sql

code=$(code_of dbt build --target prod)
[[ $code == 0 ]] || { cat output >&2; exit 1; }
mv target state
clone_result() {
    echo "exit $(code_of dbt clone --state state): $(python -c 'import json
for result in json.load(open("target/run_results.json"))["results"]:
    print(result["unique_id"], result["status"], result["message"])')"
}

as_described "$(clone_result; clone_result)" <<'END'
exit 0: model.bakery.bread success OK
exit 0: model.bakery.bread success No-op
END
