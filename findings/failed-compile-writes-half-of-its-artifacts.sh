#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: `dbt compile` writes manifest.json and run_results.json, and when a model does not compile it still writes both, with that model
# as an error, as `dbt build` does; or neither.
#
# Seen: it exits with 2, writes a new manifest.json, and no run_results.json: the one in target/ is that of the command before.
#
#     build: exit 1, manifest.json new, run_results.json new
#     compile: exit 2, manifest.json new, run_results.json as it was
#
# Why it matters: two files that lie in one folder are from two invocations. Files belong together by the invocation_id in them, and never
# by their place or time. And which model failed is in no artifact.
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
echo "select 1 as one {% if execute %}{{ exceptions.raise_compiler_error('no flour') }}{% endif %}" > models/bread.sql

ids() {
    python -c 'import json
print(*(json.load(open(f"target/{name}.json"))["metadata"]["invocation_id"] for name in ("manifest", "run_results")))' 2> no-files ||
        echo none none
}
before=(none none)
told() {
    local code now
    code=$(code_of dbt "$1")
    read -r -a now <<< "$(ids)"
    echo -n "$1: exit $code"
    if [[ ${now[0]} == "${before[0]}" ]]; then echo -n ", manifest.json as it was"; else echo -n ", manifest.json new"; fi
    if [[ ${now[1]} == "${before[1]}" ]]; then echo ", run_results.json as it was"; else echo ", run_results.json new"; fi
    before=("${now[@]}")
}

told build > told
told compile >> told
as_described "$(cat told)" <<'END'
build: exit 1, manifest.json new, run_results.json new
compile: exit 2, manifest.json new, run_results.json as it was
END
