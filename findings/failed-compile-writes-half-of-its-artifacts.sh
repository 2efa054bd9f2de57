#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: `dbt compile` writes manifest.json and run_results.json. When a model does not compile, it still writes both, with that model as
# an error, as `dbt build` does, or it writes neither.
#
# Seen: it exits with 2 and writes a new manifest.json, but no run_results.json: the one in target/ is from the command before.
#
#     build: exit 1, manifest.json new, run_results.json new
#     compile: exit 2, manifest.json new, run_results.json as it was
#
# Why it matters: two files in the same folder come from two invocations. Files belong together by the invocation_id in them, never by their
# place or time. And no artifact says which model failed.
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
report() {
    local code now
    code=$(code_of dbt "$1")
    read -r -a now <<< "$(ids)"
    echo -n "$1: exit $code"
    if [[ ${now[0]} == "${before[0]}" ]]; then echo -n ", manifest.json as it was"; else echo -n ", manifest.json new"; fi
    if [[ ${now[1]} == "${before[1]}" ]]; then echo ", run_results.json as it was"; else echo ", run_results.json new"; fi
    before=("${now[@]}")
}

report build > report
report compile >> report
as_described "$(cat report)" <<'END'
build: exit 1, manifest.json new, run_results.json new
compile: exit 2, manifest.json new, run_results.json as it was
END
