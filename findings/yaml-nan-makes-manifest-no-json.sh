#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: manifest.json is JSON according to RFC 8259, which has neither NaN nor Infinity: dbt refuses such a number in `meta`, or writes
# null or a string.
#
# Seen: `.nan` and `.inf`, which YAML allows, are written as `NaN` and `Infinity`. `dbt build` succeeds.
#
#     exit 0
#     as Python reads it: {'ratio': nan, 'limit': inf}
#     as the standard has it: not JSON: NaN
#
# Why it matters: Python's json accepts it, so tools around dbt do not notice. serde_json, JSON.parse and PostgreSQL's jsonb refuse the
# whole manifest because of one value of one model.
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
cat > models/bread.yml <<'END'
models:
  - name: bread
    config: {meta: {ratio: .nan, limit: .inf}}
END

code=$(code_of dbt build)
as_described "exit $code
$(python -c 'import json
text = open("target/manifest.json").read()
print("as Python reads it:", json.loads(text)["nodes"]["model.bakery.bread"]["config"]["meta"])
def refuse(constant):
    raise ValueError("not JSON: " + constant)
try:
    json.loads(text, parse_constant=refuse)
    print("as the standard has it: JSON")
except ValueError as why:
    print("as the standard has it:", why)')" <<'END'
exit 0
as Python reads it: {'ratio': nan, 'limit': inf}
as the standard has it: not JSON: NaN
END
